"""Which rows of a segment are looked at: to choose its pattern, to check it, to report on it."""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

ROWS_PER_SAMPLE = 256
MIN_SAMPLES, MAX_SAMPLES = 8, 128
ROWS_PER_FRESH = 256
MIN_FRESH, MAX_FRESH = 8, 32


class SampledRows(NamedTuple):
    """Absolute row indices, each part ascending, and no row in two parts.

    choosing: their masses make the list of columns and diagonals. checking: the budget must hold
    for them too. held_out: recall is reported from them.
    """

    choosing: tuple[int, ...]
    checking: tuple[int, ...]
    held_out: tuple[int, ...]

    @property
    def every(self) -> list[int]:
        """All of them, ascending."""
        return sorted(self.choosing + self.checking + self.held_out)

    @property
    def num_scores(self) -> int:
        """Scores computed for one head: two passes for choosing rows, one for the others."""
        return 2 * sum(self.choosing) + self.num_fresh_scores

    @property
    def num_fresh_scores(self) -> int:
        """Those of the rows that had no part in choosing: all, where nothing had to be chosen."""
        return sum(self.checking) + sum(self.held_out)


@lru_cache(maxsize=16)
def sample_rows(start: int, length: int, chunk_len: int, seed: int = 0) -> SampledRows:
    """Rows of the segment [start, start + length), the same ones for the same arguments.

    Choosing: about 1 row in 256, at least 8 and at most 128; half of them the last rows, the others
    spread, with one in every chunk crossed (for more than 64 chunks, as many as 128 allow).
    Checking and held out: one from each of 8 to 32 equal strata each, so that their mean stands
    for all rows; a segment of too few rows goes without.
    """
    stop = start + length
    draw = random.Random(f"{seed}:{start}:{length}")
    count = min(length, max(MIN_SAMPLES, min(MAX_SAMPLES, round(length / ROWS_PER_SAMPLE))))
    choosing = set(range(stop - (count + 1) // 2, stop))
    choosing |= _one_per_chunk(start, stop, chunk_len, choosing, draw)
    choosing |= _stratified(start, stop, choosing, count - len(choosing), draw)
    fresh = max(MIN_FRESH, min(MAX_FRESH, length // ROWS_PER_FRESH))
    held_out = _stratified(start, stop, choosing, fresh, draw)
    checking = _stratified(start, stop, choosing | held_out, fresh, draw)
    return SampledRows(*(tuple(sorted(part)) for part in (choosing, checking, held_out)))


def _stratified(
    start: int, stop: int, taken: set[int], count: int, draw: random.Random
) -> set[int]:
    """One row from each of `count` equal parts of the rows not taken; all of those when too few."""
    free = [row for row in range(start, stop) if row not in taken]
    count = min(count, len(free))
    edges = [len(free) * part // count for part in range(count + 1)] if count > 0 else []
    return {free[draw.randrange(a, b)] for a, b in pairwise(edges)}


def _one_per_chunk(
    start: int, stop: int, chunk_len: int, taken: set[int], draw: random.Random
) -> set[int]:
    """A row in each chunk that has none yet, from the newest chunk down."""
    held = {row // chunk_len for row in taken}
    crossed = range((stop - 1) // chunk_len, start // chunk_len - 1, -1)
    missing = [chunk for chunk in crossed if chunk not in held][: MAX_SAMPLES - len(taken)]
    begin = [max(start, chunk * chunk_len) for chunk in missing]
    end = [min(stop, (chunk + 1) * chunk_len) for chunk in missing]
    return {draw.randrange(a, b) for a, b in zip(begin, end, strict=True)}
