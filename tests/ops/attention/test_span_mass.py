from importlib import import_module

import pytest
import torch

from longreach.errors import ShapeError
from longreach.ops.attention import span_mass, span_mass_reference
from longreach.ops.dca import DualChunk
from support.attention import page_runs, pools, random_problem, slice_meta, worst

GEOMETRY = DualChunk(100, 117)


def reference(problem, spans):
    return span_mass_reference(
        problem.q.double(),
        problem.k.double(),
        spans,
        start=0,
        geometry=problem.geometry,
        inv_freq=problem.inv_freq,
        original_max_position=problem.trained,
    )


def measured(problem, spans, *, rows=1, pool_dtype=None):
    """By the fast twin, of a slice of `rows` rows over shuffled pages."""
    runs, slots = page_runs(problem.n, 16, 3)
    k_GSH, _ = pools(problem, runs, slots)
    meta = slice_meta(problem, problem.n - rows, problem.n, runs)
    q_TNH = problem.q[-rows:]
    pool = k_GSH.to(pool_dtype or k_GSH.dtype)
    return span_mass(q_TNH, pool, meta, spans, scratch=problem.scratch)


def cut(n, width):
    return [(a, min(a + width, n)) for a in range(0, n, width)]


@pytest.mark.parametrize("n", [1, 63, 100, 101, 105, 118, 205, 305])
@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(4, 2, 32), (3, 3, 60), (8, 1, 16)])
def test_masses_equal_the_reference_at_chunk_edges(n, heads, kv_heads, dim):
    """Around L, C, 2L and 3L, every span has the mass that float64 softmax says; together 1."""
    problem = random_problem(n, heads, kv_heads, dim, GEOMETRY, seed=n, trained=60)
    spans = cut(n, 37)
    mass = measured(problem, spans)
    assert worst("mass", mass, reference(problem, spans)) < 1e-6
    assert torch.allclose(mass.sum(1), torch.ones(heads).double())


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_pieces_of_keys_do_not_show(piece, monkeypatch):
    """Spans over many pieces, pieces over many spans, spans with gaps: all equal the reference."""
    module = import_module("longreach.ops.attention.span_mass")  # the function has its name
    monkeypatch.setattr(module, "PIECE_VALUES", piece * 2 * 32)
    problem = random_problem(230, 4, 2, 32, GEOMETRY, q_scale=3.0)
    spans = [(2, 3), (3, 40), (45, 46), (90, 170), (229, 230)]
    assert worst("mass", measured(problem, spans), reference(problem, spans)) < 1e-6


@pytest.mark.parametrize("rows", [1, 5, 150])
def test_the_last_row_of_any_slice(rows):
    """It is the slice's last row that is measured, whatever chunks the others lie in."""
    problem = random_problem(250, 4, 2, 32, GEOMETRY)
    spans = cut(250, 80)
    assert worst("mass", measured(problem, spans, rows=rows), reference(problem, spans)) < 1e-6


def test_spans_that_the_row_does_not_see_have_no_mass():
    """Keys after the row count for nothing, and a span may begin before it and end after it."""
    problem = random_problem(50, 2, 1, 16, GEOMETRY)
    mass = measured(problem, [(0, 10), (40, 60), (60, 70)])
    assert worst("mass", mass[:, :2], reference(problem, [(0, 10), (40, 50)])) < 1e-6
    assert mass[:, 2].tolist() == [0.0, 0.0]


def test_a_huge_logit_neither_overflows_nor_hides():
    """One key thousands above the others, in the first piece or the last, takes all the mass."""
    problem = random_problem(200, 2, 1, 16, GEOMETRY, q_scale=1000.0)
    spans = cut(200, 11)
    assert worst("mass", measured(problem, spans), reference(problem, spans)) < 1e-2


@pytest.mark.parametrize("pool_dtype", [torch.bfloat16, torch.float16])
def test_a_narrow_pool_is_read_in_the_dtype_of_the_queries(pool_dtype):
    """Only the keys' rounding shows."""
    problem = random_problem(120, 4, 2, 32, GEOMETRY)
    spans = cut(120, 30)
    mass = measured(problem, spans, pool_dtype=pool_dtype)
    assert worst("mass", mass, reference(problem, spans)) < 1e-2


def test_bf16_is_no_worse_than_plain_torch():
    """error(ours in bf16) <= error(softmax of bf16 products) + tolerance."""
    problem = random_problem(300, 4, 2, 32, DualChunk.plain()).to(torch.bfloat16)
    spans = cut(300, 50)
    truth = reference(problem, spans)
    plain = span_mass_reference(
        problem.q, problem.k, spans, start=0, geometry=problem.geometry, inv_freq=problem.inv_freq
    )
    error = worst("ours", measured(problem, spans), truth)
    assert error <= worst("plain torch", plain, truth) + 2e-3


@pytest.mark.parametrize("spans", [[(5, 5)], [(3, 9), (8, 12)], [(8, 9), (3, 4)], [(7, 2)]])
def test_spans_must_be_ascending(spans):
    """Empty, overlapping, descending spans are a ShapeError, not a wrong number."""
    with pytest.raises(ShapeError, match="ascending"):
        measured(random_problem(20, 2, 1, 16, GEOMETRY), spans)


def test_no_spans_no_numbers():
    """Without a span the answer has no column."""
    assert measured(random_problem(20, 2, 1, 16, GEOMETRY), []).shape == (2, 0)
