"""Where an answer looked, as a strip of blocks: a few blocks per page, or one for neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▁▂▃▄▅▆▇█"
MAX_REPEAT = 3


def heat_levels(shares: Sequence[float], width: int) -> list[int]:
    """At most `width` levels 0 to 8, relative to the highest share; a bin's is its pages' highest.

    Attention is never exactly nowhere: little of it is level 0.
    """
    if not shares or width < 1:
        return []
    bins = _bins(shares, width)
    top = max(bins)
    if top <= 0:
        return [0] * len(bins)
    return [round((len(BLOCKS) - 1) * share / top) for share in bins]


def widen(levels: Sequence[int], width: int) -> list[int]:
    """Each level as often as all have room for, MAX_REPEAT times at most."""
    repeat = max(1, min(width // max(len(levels), 1), MAX_REPEAT))
    return [level for level in levels for _ in range(repeat)]


def heat_strip(levels: Sequence[int]) -> str:
    """The levels as text."""
    return "".join(BLOCKS[level] for level in levels)


def _bins(shares: Sequence[float], width: int) -> list[float]:
    count = min(width, len(shares))
    edges = [index * len(shares) // count for index in range(count + 1)]
    return [max(shares[a:b]) for a, b in pairwise(edges)]
