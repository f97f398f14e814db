"""Which rows of a segment are looked at: some to choose its pattern, others to report recall."""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

ROWS_PER_SAMPLE = 256
MIN_SAMPLES, MAX_SAMPLES = 8, 128
ROWS_PER_HELD_OUT = 512
MIN_HELD_OUT, MAX_HELD_OUT = 8, 32


class SampledRows(NamedTuple):
    """Absolute row indices, both ascending, and no row in both."""

    choosing: tuple[int, ...]
    held_out: tuple[int, ...]


@lru_cache(maxsize=16)
def sample_rows(start: int, length: int, chunk_len: int, seed: int = 0) -> SampledRows:
    """Rows of the segment [start, start + length), the same ones for the same arguments.

    Choosing: about 1 row in 256, at least 8 and at most 128; half of them the last rows, the others
    spread, with one in every chunk crossed (for more than 64 chunks, as many as 128 allow). Held
    out: one from each of 8 to 32 equal strata, so that their mean stands for all rows. A segment of
    fewer than 9 rows holds out none.
    """
    stop = start + length
    draw = random.Random(f"{seed}:{start}:{length}")
    count = min(length, max(MIN_SAMPLES, min(MAX_SAMPLES, round(length / ROWS_PER_SAMPLE))))
    choosing = set(range(stop - (count + 1) // 2, stop))
    choosing |= _one_per_chunk(start, stop, chunk_len, choosing, draw)
    choosing |= _stratified(start, stop, choosing, count - len(choosing), draw)
    held = max(MIN_HELD_OUT, min(MAX_HELD_OUT, length // ROWS_PER_HELD_OUT))
    held_out = _stratified(start, stop, choosing, held, draw)
    return SampledRows(tuple(sorted(choosing)), tuple(sorted(held_out)))


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
