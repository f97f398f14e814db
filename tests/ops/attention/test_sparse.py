import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.ops.attention import slices
from longreach.ops.dca import DualChunk
from longreach.ops.pattern import GroupPattern, Pattern, keep_mask
from support.attention import attend, random_problem, worst

pytestmark = pytest.mark.usefixtures("many_rows_twin")

TOLERANCE = 1e-5


def random_group(n, column_share, diagonal_share, seed, tile=128, sinks=0):
    rng = torch.Generator().manual_seed(seed)
    columns = torch.rand(n, generator=rng) < column_share
    columns[:sinks] = True
    diagonals = torch.rand(n // tile + 2, generator=rng) < diagonal_share
    diagonals[0] = True
    return GroupPattern(
        columns=columns.nonzero()[:, 0], tile_diagonals=diagonals.nonzero()[:, 0], tile=tile
    )


def check(problem, pattern, cuts=(), **options):
    rows = torch.arange(problem.n)
    allowed = torch.stack([keep_mask(group, rows, problem.n) for group in pattern.groups])
    out, lse = attend(problem, cuts, pattern=pattern, **options)
    true_out, true_lse = problem.truth(allowed)
    assert worst("out", out, true_out) < TOLERANCE
    assert worst("lse", lse, true_lse) < TOLERANCE * max(1.0, true_lse.abs().max() / 10)


@pytest.mark.parametrize("length", [200, 256, 384, 5000])
@pytest.mark.parametrize(
    ("columns", "diagonals"), [(0.1, 0.4), (0.5, 0.1), (0.0, 0.5), (0.02, 0.0)]
)
def test_random_patterns_are_kept_exactly(length, columns, diagonals):
    """Each row attends to the keys of its pattern and to no other, through every chunk edge."""
    n = 900
    groups = tuple(random_group(n, columns, diagonals, seed, sinks=64 * seed) for seed in (0, 1))
    problem = random_problem(n, 4, 2, 32, DualChunk(length, length + 21), q_scale=2.0)
    check(problem, Pattern(groups))
    check(problem, Pattern(groups), [130, 333, 700], shuffle=5)


@settings(max_examples=25)
@given(
    st.integers(1, 300), st.integers(10, 300), st.floats(0, 1), st.floats(0, 1),
    st.lists(st.integers(0, 300), max_size=4), st.sampled_from((8, 16, 128)), st.integers(0, 99),
)  # fmt: skip
def test_any_pattern_in_any_slices(n, length, columns, diagonals, cuts, tile, seed):
    """Any columns, any diagonals, any tile size, any cut, any chunk length, scattered pages."""
    problem = random_problem(n, 2, 1, 16, DualChunk(length, length + 5), seed=seed)
    pattern = Pattern((random_group(n, columns, diagonals, seed, tile),))
    check(problem, pattern, [c for c in cuts if c < n], page=16, shuffle=seed)


@pytest.mark.parametrize("kind", ["all diagonals", "all columns", "both"])
def test_the_full_budget_is_dense(kind):
    """Every diagonal, every column, or both: the dense output, nothing counted twice."""
    n = 700
    columns = torch.arange(n if kind != "all diagonals" else 0)
    diagonals = torch.arange(n // 128 + 1 if kind != "all columns" else 1)
    group = GroupPattern(columns=columns, tile_diagonals=diagonals)
    problem = random_problem(n, 4, 2, 32, DualChunk(300, 333))
    out, lse = attend(problem, [450], pattern=Pattern((group, group)))
    dense_out, dense_lse = attend(problem, [450])
    assert worst("out", out, dense_out) < TOLERANCE
    assert worst("lse", lse, dense_lse) < TOLERANCE


def test_dense_and_sparse_groups_side_by_side():
    """A group without a pattern stays dense beside one that has one."""
    pattern = Pattern((None, random_group(500, 0.05, 0.3, 1)))
    check(random_problem(500, 4, 2, 32, DualChunk(200, 222)), pattern, [260])


def test_a_decoded_row_may_have_a_pattern():
    """A slice of one row obeys the pattern too."""
    problem = random_problem(300, 2, 1, 16, DualChunk(100, 111))
    check(problem, Pattern((random_group(300, 0.1, 0.4, 2),)), range(280, 300))


def test_small_pieces(monkeypatch):
    """Columns and tiles beyond one GEMM's keys are done in several."""
    monkeypatch.setattr(slices, "TARGET_ROWS", 256)
    monkeypatch.setattr(slices, "TARGET_SCORES", 256)
    problem = random_problem(1100, 2, 1, 16, DualChunk(400, 444))
    check(problem, Pattern((random_group(1100, 0.9, 0.6, 3),)))


def test_the_sinks_shift_only_rows_that_keep_them():
    """A huge first key that the pattern leaves out does not push the kept ones under."""
    problem = random_problem(600, 2, 1, 16, DualChunk.plain())
    problem.q[:, :, 0] = 30.0
    problem.k[:4, :, 0] = 400.0
    group = GroupPattern(columns=torch.arange(10, 90), tile_diagonals=torch.tensor([0]))
    check(problem, Pattern((group,)))


def test_the_lse_never_grows_by_leaving_keys_out():
    """log-sum-exp of kept keys <= that of all: recall lies in (0, 1]."""
    problem = random_problem(600, 2, 1, 32, DualChunk(250, 280))
    few, more = random_group(600, 0.05, 0.0, 4), random_group(600, 0.05, 0.5, 4)
    _, small = attend(problem, pattern=Pattern((few,)))
    _, medium = attend(problem, pattern=Pattern((more,)))
    _, full = attend(problem)
    assert (small <= medium + TOLERANCE).all()
    assert (medium <= full + TOLERANCE).all()
