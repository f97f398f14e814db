"""The streamed scores are the softmax of the oracle."""

import pytest
import torch

from longreach.ops.pattern import TILE
from longreach.ops.sparse import stream as stream_module
from longreach.ops.sparse.masses import (
    NUM_SINKS,
    column_masses,
    diagonal_masses,
    tile_masses,
)
from longreach.ops.sparse.stream import ScoreStream, sampled_queries

CASES = {
    "plain": {"length": 300},
    "group of 7": {"length": 260, "heads": 7, "groups": 1},
    "two groups": {"length": 257, "heads": 4, "groups": 2, "head_dim": 6},
    "later slice": {"length": 200, "start": 321},
    "chunks": {"length": 700, "start": 45, "chunk": 100},
    "chunks, pages, temperature": {
        "length": 391,
        "start": 130,
        "chunk": 111,
        "scattered": True,
        "original_max_position": 150,
    },
    "cap below": {"length": 150, "start": 200, "chunk": 64, "cap": 64},
}


def streams(case):
    rows = [case.start, case.start + 3, *range(case.rows.stop - 140, case.rows.stop, 9)]
    rows = sorted({row for row in rows if row >= case.start} | {case.rows.stop - 1})
    queries = sampled_queries(case.q, case.meta, rows)
    num_groups = case.pool_GSH.shape[0]
    for group in range(num_groups):
        heads = range(group * queries.group_shape(num_groups)[1], case.q.shape[1])
        made = ScoreStream(case.pool_GSH[group], case.meta, queries, group, num_groups)
        yield made, list(heads)[: made.num_heads]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("block_scores", [1, 2**19])
def test_tiles_columns_and_diagonals_hold_the_oracle_mass(
    make_case, monkeypatch, name, block_scores
):
    """Masses by tile, column and tile diagonal are sums of the oracle's probabilities."""
    monkeypatch.setattr(stream_module, "BLOCK_SCORES", block_scores)
    case = make_case(**CASES[name], sharpness=3.0)
    for stream, heads in streams(case):
        masses = tile_masses(stream, NUM_SINKS)
        exact = torch.stack([case.probabilities(h, stream.rows) for h in heads], 2)
        sinks = exact[:, :NUM_SINKS].sum(1)
        torch.testing.assert_close(masses.sinks_PR.double(), sinks, atol=1e-5, rtol=1e-4)
        exact[:, :NUM_SINKS] = 0
        offset = stream.rows_P[:, None] // TILE - torch.arange(exact.shape[1])[None] // TILE
        for diagonal, mass_R in enumerate(diagonal_masses(masses, stream.rows)):
            expected = (exact * (offset == diagonal)[:, :, None]).sum((0, 1))
            torch.testing.assert_close(mass_R.double(), expected, atol=1e-5, rtol=1e-4)
        for tile, mass_PR in enumerate(masses.tiles_JPR):
            expected = exact[:, tile * TILE : (tile + 1) * TILE].sum(1)
            torch.testing.assert_close(mass_PR.double(), expected, atol=1e-5, rtol=1e-4)
        columns = column_masses(stream, masses.lse2_PR)[NUM_SINKS:]
        expected = (exact * (offset > 1)[:, :, None]).sum(0)[NUM_SINKS:]
        torch.testing.assert_close(columns.double(), expected, atol=1e-5, rtol=1e-4)


def test_overflow_is_repaired(make_case):
    """A key that outscores the reference keys by more than the exponent range is still counted
    right.
    """
    case = make_case(600, heads=1, head_dim=8)
    case.q_TNH[:] = torch.tensor([0, 0, 0, 9.0, 0, 0, 0, 0])
    case.k_SGH[:] = 0
    case.k_SGH[77, :, 3] = 60.0
    case.inv_freq[-1] = 0
    case.__post_init__()
    ((stream, _),) = streams(case)
    masses = tile_masses(stream, NUM_SINKS)
    exact = case.probabilities(0, stream.rows)
    torch.testing.assert_close(masses.tiles_JPR[0, :, 0].double(), exact[:, 30:128].sum(1))


def test_bf16_scores_are_close(make_case):
    """Masses from bf16 keys stay within a percent of the softmax of the same bf16 inputs."""
    case = make_case(700, heads=4, groups=2, head_dim=64, sharpness=2.0, dtype=torch.bfloat16)
    for stream, heads in streams(case):
        masses = tile_masses(stream, NUM_SINKS)
        for place, head in enumerate(heads):
            exact = case.probabilities(head, stream.rows)
            error = masses.sinks_PR[:, place].double() - exact[:, :NUM_SINKS].sum(1)
            assert float(error.abs().max()) < 0.01
