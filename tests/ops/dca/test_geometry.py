import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longreach.ops.dca import DualChunk
from oracles import dual_chunk


def matrix(n, geometry):
    rows = torch.arange(n)
    return geometry.distance(rows[:, None], rows[None, :]).tril().numpy()


sizes = st.integers(1, 12).flatmap(
    lambda length: st.tuples(st.just(length), st.integers(1, length + 4), st.sampled_from((0, 1)))
)


@given(sizes, st.integers(1, 50))
def test_distances_are_the_oracles(size, n):
    """Every pair stands at the distance of the brute force, for any L, W and both caps."""
    length, local, less = size
    chunk, cap = length + local, length + local - less
    want = dual_chunk.distances(n, chunk, local, cap)
    assert np.array_equal(matrix(n, DualChunk(length, cap)), want)


def test_the_reports_figure_with_the_papers_cap():
    """Row 14 of figure 2 (C = 8, L = 5, cap = C - 1) is 7 6 5 4 3 | 7 6 5 4 3 | 4 3 2 1 0."""
    assert matrix(15, DualChunk(5, 7))[14].tolist() == [7, 6, 5, 4, 3, 7, 6, 5, 4, 3, 4, 3, 2, 1, 0]


def test_the_reports_figure_with_the_cap_that_is_served():
    """With cap = C the same row is 8 7 6 5 4 | 8 7 6 5 4 | 4 3 2 1 0."""
    assert matrix(15, DualChunk(5, 8))[14].tolist() == [8, 7, 6, 5, 4, 8, 7, 6, 5, 4, 4, 3, 2, 1, 0]


@given(sizes)
def test_short_texts_are_untouched(size):
    """All distances are plain while n <= min(C + 1, 2L) (cap = C) or min(C, 2L) (cap = C - 1)."""
    length, local, less = size
    geometry = DualChunk(length, length + local - less)
    n = min(length + local + 1 - less, 2 * length)
    rows = torch.arange(n)
    plain = (rows[:, None] - rows[None, :]).tril().numpy()
    assert np.array_equal(matrix(n, geometry), plain)


@given(sizes, st.integers(1, 60))
def test_distances_are_bounded_and_exact_nearby(size, n):
    """0 <= M <= min(cap, i - j); M = i - j for pairs at most W + 1 (cap = C - 1: W) apart."""
    length, local, less = size
    local = min(local, length - 1)
    geometry = DualChunk(length, length + local - less)
    rows = torch.arange(n)
    plain = (rows[:, None] - rows[None, :]).tril().numpy()
    found = matrix(n, geometry)
    assert (found >= 0).all()
    assert (found <= np.minimum(plain, geometry.query_cap)).all()
    near = plain <= local + 1 - less
    assert np.array_equal(found[near], plain[near])


@given(sizes, st.integers(0, 60))
def test_ranges_cover_every_visible_key_once(size, i):
    """inter, succ and intra go from 0 to i, and each key's chunk gap is its range's."""
    length, local, _ = size
    geometry = DualChunk(length, length + local)
    inter, succ, intra = geometry.ranges(i)
    assert (inter[0], inter[1], succ[1], intra[1]) == (0, succ[0], intra[0], i + 1)

    def gaps(keys):
        return {i // length - j // length for j in range(*keys)}

    assert gaps(intra) == {0}
    assert gaps(succ) <= {1}
    assert all(gap >= 2 for gap in gaps(inter))


def test_the_1m_models_first_deviation():
    """With C = 262144 and W = 8192 the first query that differs from plain attention is 262145."""
    geometry = DualChunk(253952, 262144)
    rows = torch.tensor([262144, 262145])
    assert (geometry.distance(rows, 0) - rows).tolist() == [0, -1]


def test_selection_positions_run_on_along_diagonals():
    """Figure 5 of the report: with cap = C - 1 every diagonal is continuous inside a chunk."""
    geometry = DualChunk(5, 7)
    rows = torch.arange(20)
    intra, succ, inter = geometry.selection_positions(rows)
    assert torch.equal(succ, intra + 5)
    assert torch.equal(inter, intra + 7)


def test_plain_is_plain_at_a_million():
    """One endless chunk: distance i - j, and only the intra range."""
    geometry = DualChunk.plain()
    assert int(geometry.distance(10**6, 3)) == 10**6 - 3
    assert geometry.ranges(10**6) == ((0, 0), (0, 0), (0, 10**6 + 1))


@pytest.mark.parametrize(("length", "cap", "word"), [(0, 8, "chunk_len"), (5, 3, "query_cap")])
def test_senseless_sizes_are_refused(length, cap, word):
    """A chunk without keys, or a cap inside the chunk, is an error that names the field."""
    with pytest.raises(ValueError, match=word):
        DualChunk(length, cap)
