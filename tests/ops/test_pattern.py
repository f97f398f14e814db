"""Laws of the sparse pattern: its counts are its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.errors import ShapeError
from longreach.ops.pattern import GroupPattern, Pattern, causal_pairs, keep_mask, kept_pairs


@st.composite
def patterns(draw: st.DrawFn) -> tuple[GroupPattern, range]:
    tile = draw(st.sampled_from([1, 3, 8, 128]))
    start = draw(st.integers(0, 5 * tile))
    rows = range(start, start + draw(st.integers(0, 4 * tile)))
    columns = draw(st.sets(st.integers(0, rows.stop + 20), max_size=30))
    diagonals = {0} | draw(st.sets(st.integers(0, 12), max_size=6))
    group = GroupPattern(
        columns=torch.tensor(sorted(columns), dtype=torch.int64),
        tile_diagonals=torch.tensor(sorted(diagonals), dtype=torch.int64),
        tile=tile,
    )
    return group, rows


@given(patterns())
@settings(max_examples=150)
def test_kept_pairs_count_the_mask(case: tuple[GroupPattern, range]) -> None:
    """kept_pairs equals the number of true entries of the definition, causal_pairs of dense."""
    group, rows = case
    index = torch.arange(rows.start, rows.stop)
    assert kept_pairs(group, rows) == int(keep_mask(group, index, rows.stop).sum())
    assert causal_pairs(rows) == int(keep_mask(None, index, rows.stop).sum())


@given(patterns(), st.integers(0, 40), st.integers(1, 40))
@settings(max_examples=60)
def test_carried_pattern_keeps_every_newer_key(
    case: tuple[GroupPattern, range], gap: int, length: int
) -> None:
    """A carried pattern keeps what it kept, and every key since the segment it was chosen on."""
    group, rows = case
    begin = rows.stop + gap
    index = torch.arange(begin, begin + length)
    before = keep_mask(group, index, begin + length)
    after = keep_mask(group.carried(rows.stop, begin + length), index, begin + length)
    newer = keep_mask(None, index, begin + length)
    newer[:, : rows.stop] = False
    assert bool((before <= after).all())
    assert bool((newer <= after).all())


def test_density_is_one_where_dense() -> None:
    """Density is the kept share of causal pairs, 1 for a dense group."""
    group = GroupPattern(columns=torch.tensor([0]), tile_diagonals=torch.tensor([0]), tile=4)
    pattern = Pattern((None, group))
    dense, sparse = pattern.density(range(4, 8))
    assert dense == 1.0
    assert sparse == (10 + 4) / (5 + 6 + 7 + 8)
    assert not pattern.is_dense


@pytest.mark.parametrize(
    ("columns", "diagonals"),
    [([3, 3], [0]), ([-1], [0]), ([1], [1, 2]), ([1], []), ([2, 1], [0])],
)
def test_malformed_patterns_are_refused(columns: list[int], diagonals: list[int]) -> None:
    """Unsorted or negative indices, or a pattern without its own tile, raise ShapeError."""
    with pytest.raises(ShapeError):
        GroupPattern(
            columns=torch.tensor(columns, dtype=torch.int64),
            tile_diagonals=torch.tensor(diagonals, dtype=torch.int64),
        )
