"""The strip shows every page that was looked at, however many there are."""

from hypothesis import given
from hypothesis import strategies as st

from longreach.cli.ask.heat import heat_levels, heat_strip, widen

SHARES = st.lists(st.floats(0, 1), max_size=300)


def test_the_highest_share_is_a_full_block():
    """Levels are relative to the page that was looked at most."""
    assert heat_strip(heat_levels([0.0, 0.1, 0.8, 0.4], 80)) == "▁▁█▄"
    assert heat_strip(heat_levels([0.0, 0.0], 80)) == "▁▁"
    assert heat_levels([], 80) == []


def test_neighbours_share_a_block():
    """A bin shows its highest page: one page among many is never averaged away."""
    assert heat_levels([0.0] * 99 + [1.0], 10) == [0] * 9 + [8]


@given(SHARES, st.integers(1, 90))
def test_it_fits_and_keeps_the_peak(shares, width):
    """Never wider than the room; the page looked at most is always to be seen."""
    levels = heat_levels(shares, width)
    assert len(levels) == min(len(shares), width)
    assert len(widen(levels, width)) <= width
    if any(share > 0 for share in shares):
        assert 8 in levels
