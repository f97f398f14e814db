"""How rows and keys are cut: plain integers, no tensors.

A block of query rows never crosses a dual chunk edge, so its keys fall into at most three ranges,
each with one rotation of the queries: inter, succ and intra. Positions are absolute indices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from longreach.ops.dca import DualChunk

INTRA, SUCC, INTER = 0, 1, 2
"""Index of a range's rotation in QueryRotations."""

ROW_ALIGNMENT = 128


class KeySpan(NamedTuple):
    """Keys [start, end) that one rotation of the queries meets."""

    rotation: int
    start: int
    end: int


def row_blocks(
    start: int, end: int, geometry: DualChunk, positions: int
) -> Iterator[tuple[int, int]]:
    """Cut rows [start, end) at chunk edges and at multiples of `positions`."""
    while start < end:
        chunk_end = (start // geometry.chunk_len + 1) * geometry.chunk_len
        stop = min(end, chunk_end, (start // positions + 1) * positions)
        yield start, stop
        start = stop


def positions_per_block(heads_per_group: int, target_rows: int) -> int:
    """Positions whose query heads make about target_rows GEMM rows; a multiple of the alignment."""
    return max(1, target_rows // (heads_per_group * ROW_ALIGNMENT)) * ROW_ALIGNMENT


def spans_between(start: int, end: int, row: int, geometry: DualChunk) -> list[KeySpan]:
    """Keys [start, end) as the ranges that a row of `row`'s chunk sees; empty ones left out."""
    first = row // geometry.chunk_len * geometry.chunk_len
    before = max(0, first - geometry.chunk_len)
    edges = ((INTER, 0, before), (SUCC, before, first), (INTRA, first, max(first, end)))
    cut = (KeySpan(r, max(start, a), min(end, b)) for r, a, b in edges)
    return [span for span in cut if span.start < span.end]


def tiles(span: KeySpan, keys: int) -> Iterator[KeySpan]:
    """Cut a span into nearly equal tiles of at most `keys` keys."""
    count = -(-(span.end - span.start) // keys)
    size = -(-(span.end - span.start) // count)
    size = min(keys, -(-size // ROW_ALIGNMENT) * ROW_ALIGNMENT)
    for start in range(span.start, span.end, size):
        yield KeySpan(span.rotation, start, min(start + size, span.end))
