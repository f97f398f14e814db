"""The list is nested, and the kept mass of each of its prefixes is exact."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longreach.ops.pattern import keep_mask
from longreach.ops.sparse.masses import kept_masses
from longreach.ops.sparse.sampling import sample_rows
from longreach.ops.sparse.segment import GroupRows
from longreach.ops.sparse.stream import sampled_queries


def scores_of(case):
    rows = sample_rows(case.start, len(case.rows), case.geometry.chunk_len)
    queries = sampled_queries(case.q, case.meta, rows.every)
    return GroupRows(case.pool_GSH[0], case.meta, queries, rows, 0, 1).score_all()


@given(
    length=st.integers(130, 900),
    start=st.integers(0, 500),
    chunk=st.sampled_from([None, 100, 256]),
    heads=st.sampled_from([1, 2, 7]),
    sharpness=st.sampled_from([0.0, 0.5, 3.0]),
    at_least=st.sampled_from([0, 5, 40, 10_000]),
    seed=st.integers(0, 100),
)
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # make_case keeps no state
)
def test_prefixes_are_nested_and_counted_exactly(
    make_case, length, start, chunk, heads, sharpness, at_least, seed
):
    """Each prefix keeps what shorter ones keep, and the curve is its exact recall, on all rows."""
    case = make_case(
        length, start=start, chunk=chunk, heads=heads, sharpness=sharpness, head_dim=8, seed=seed
    )
    scores = scores_of(case)
    ranking = scores.rank(at_least)
    entries = ranking.index_E.numel()
    budgets = sorted({0, 1, 2, entries // 3, entries // 2, entries - 1, entries})
    for part in (scores.choosing, scores.checking, scores.held_out):
        curve = part.kept_curve(ranking)
        mask_before, kept_before = None, 0.0
        for budget in (b for b in budgets if 0 <= b <= entries):
            group = ranking.pattern(budget)
            kept_R = kept_masses(part.stream, part.masses, group).mean(0)
            expected = part.forced_R if budget == 0 else curve[budget - 1]
            torch.testing.assert_close(kept_R, expected, atol=1e-4, rtol=0)
            mask = keep_mask(group, part.stream.rows_P, part.stream.num_keys)
            if mask_before is not None:
                assert bool((mask_before <= mask).all())
                assert bool((kept_R >= kept_before - 1e-6).all())
            mask_before, kept_before = mask, kept_R
        if ranking.complete:
            assert float(kept_before.min()) > 0.9999
            assert bool((mask == keep_mask(None, part.stream.rows_P, mask.shape[1])).all())


def test_list_is_sorted_by_mass_per_key(make_case):
    """Entries come by mass of the group's best head for each key they cost; a partial list is a
    prefix.
    """
    scores = scores_of(make_case(3000, heads=3, sharpness=2.0))
    whole, part = scores.rank(10**6), scores.rank(100)
    cost = torch.where(whole.is_diagonal_E, 128, 1)
    value = whole.mass_ER.amax(1) / cost
    assert bool((value[1:] <= value[:-1]).all())
    assert whole.complete
    assert not part.complete
    assert 50 < part.index_E.numel() < 300
    assert torch.equal(part.index_E, whole.index_E[: part.index_E.numel()])


@pytest.mark.parametrize("length", [1, 8, 9, 40, 5000, 32768, 200_000])
@pytest.mark.parametrize("chunk_len", [2**61, 1000])
def test_sampled_rows(length, chunk_len):
    """About 1 row in 256, from 8 to 128, half of them the last, one per chunk; no row twice."""
    start = 777
    rows = sample_rows(start, length, chunk_len)
    assert rows == sample_rows(start, length, chunk_len)
    assert len(set(rows.every)) == len(rows.every)
    inside = range(start, start + length)
    assert all(row in inside for row in rows.every)
    expected = min(length, max(8, min(128, round(length / 256))))
    crossed = {row // chunk_len for row in inside}
    assert expected <= len(rows.choosing) <= min(128, expected + len(crossed))
    assert set(inside[-((expected + 1) // 2) :]) <= set(rows.choosing)
    if len(crossed) <= 64:
        assert {row // chunk_len for row in rows.choosing} == crossed
    fresh = max(8, min(32, length // 256))
    assert len(rows.held_out) == min(length - len(rows.choosing), fresh)
    assert len(rows.checking) == min(length - len(rows.choosing) - len(rows.held_out), fresh)
