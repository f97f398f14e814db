"""Which keys the rows of a block keep under a sparse pattern, as spans and as single slots.

Every row gets exactly the pattern's keys: tiles that a diagonal keeps are spans, columns are
gathered slots, and a column inside a kept tile of a row is left out for that row.

Shape letters: C columns, K keys of a piece, B query tiles of a block, M GEMM rows, D tile
diagonals.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from longreach.ops.attention.blocks import INTRA, KeySpan, spans_between
from longreach.ops.attention.meta import KeyRuns, SliceMeta
from longreach.ops.pattern import GroupPattern


class KeptKeys:
    """One kv group's pattern, made ready for the blocks of one slice."""

    def __init__(self, group: GroupPattern, meta: SliceMeta) -> None:
        self.tile, self.meta = group.tile, meta
        device = meta.scale_T.device
        self.columns_C = group.columns.to(device)
        self.columns_C = self.columns_C[self.columns_C < meta.num_keys]
        self.slots_C = _slots(self.columns_C, meta.runs)
        self.column_tiles_C = self.columns_C // group.tile
        self.diagonal_runs = _consecutive(group.tile_diagonals.tolist())
        last_tile = meta.num_keys // group.tile
        keeps = torch.zeros(last_tile + 1, dtype=torch.bool)
        keeps[group.tile_diagonals[group.tile_diagonals <= last_tile].cpu()] = True
        self.keeps_D = keeps.to(device)

    def block(self, start: int, end: int) -> KeptBlock:
        """The part of rows [start, end), which lie in one dual chunk."""
        return KeptBlock(self, start, end)


class KeptBlock:
    """What rows [start, end) keep."""

    def __init__(self, keys: KeptKeys, start: int, end: int) -> None:
        self._keys, self._start, self._end = keys, start, end
        self._geometry = keys.meta.geometry
        self._first = start // self._geometry.chunk_len * self._geometry.chunk_len

    def own_tiles(self) -> list[tuple[tuple[int, int], KeySpan]]:
        """For each query tile: its rows, and the keys of its own tile in its own chunk.

        The last keys of the span are the rows themselves.
        """
        tile = self._keys.tile
        first_cut = (self._start // tile + 1) * tile
        cuts = [self._start, *range(first_cut, self._end, tile), self._end]
        return [
            ((a, b), KeySpan(INTRA, max(self._first, a // tile * tile), b))
            for a, b in itertools.pairwise(cuts)
        ]

    def tiles_before(self, end: int, row: int, size: int) -> Iterator[list[KeySpan]]:
        """Kept tiles of row's query tile before key `end`: `size` keys of one rotation at most."""
        spans = [
            span
            for start, stop in self._tile_spans(row // self._keys.tile, end)
            for span in spans_between(start, stop, row, self._geometry)
        ]
        batch: list[KeySpan] = []
        room = size
        for span in _cut(spans, size):
            length = span.end - span.start
            if batch and (span.rotation != batch[0].rotation or length > room):
                yield batch
                batch, room = [], size
            batch.append(span)
            room -= length
        if batch:
            yield batch

    def _tile_spans(self, query_tile: int, end: int) -> list[tuple[int, int]]:
        tile, spans = self._keys.tile, []
        for low, high in reversed(self._keys.diagonal_runs):
            start = max(0, query_tile - high) * tile
            stop = min((query_tile - low + 1) * tile, end)
            if start < stop:
                spans.append((start, stop))
        return spans

    def shared_sinks(self, count: int) -> list[KeySpan]:
        """The first `count` keys, where every row keeps all of them as columns; else nothing."""
        columns_C = self._keys.columns_C
        reach = min(count, self._start // self._keys.tile * self._keys.tile)
        if reach == 0 or columns_C.numel() < reach or int(columns_C[reach - 1]) != reach - 1:
            return []
        return spans_between(0, reach, self._start, self._geometry)

    def columns(
        self, size: int, heads: int, dtype: torch.dtype
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """(rotation, slots_K, mask_MK) of the block's columns; at most `size` slots at once.

        Columns that no query tile of the block has in a kept tile need no mask.
        """
        covered_BC = self._covered()
        some_C, all_C = covered_BC.any(dim=0), covered_BC.all(dim=0)
        yield from self._column_pieces((~some_C).nonzero()[:, 0], size, None)
        mixed_K = (some_C & ~all_C).nonzero()[:, 0]
        if mixed_K.numel():
            mask_BK = torch.zeros(covered_BC.shape[0], mixed_K.numel(), dtype=dtype)
            mask_BK = mask_BK.to(covered_BC.device)
            mask_BK.masked_fill_(covered_BC[:, mixed_K], -math.inf)
            mask_MK = mask_BK.repeat_interleave(self._rows_of_tiles(heads), dim=0)
            yield from self._column_pieces(mixed_K, size, mask_MK)

    def _covered(self) -> Tensor:
        """[B, C]: the column lies in a kept tile of the query tile, or not before the tile."""
        tiles_B = torch.arange(
            self._start // self._keys.tile,
            (self._end - 1) // self._keys.tile + 1,
            device=self._keys.columns_C.device,
        )
        offset_BC = tiles_B[:, None] - self._keys.column_tiles_C[None, :]
        return self._keys.keeps_D[offset_BC.clamp(min=0)]

    def _rows_of_tiles(self, heads: int) -> Tensor:
        counts = [(b - a) * heads for (a, b), _ in self.own_tiles()]
        return torch.tensor(counts, device=self._keys.columns_C.device)

    def _column_pieces(
        self, index_K: Tensor, size: int, mask_MK: Tensor | None
    ) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        columns_K = self._keys.columns_C[index_K]
        for span in spans_between(0, self._end, self._start, self._geometry):
            edges = torch.tensor([span.start, span.end], device=columns_K.device)
            low, high = torch.searchsorted(columns_K, edges).tolist()
            for first in range(low, high, size):
                part = slice(first, min(first + size, high))
                mask = None if mask_MK is None else mask_MK[:, part]
                yield span.rotation, self._keys.slots_C[index_K[part]], mask


def _cut(spans: list[KeySpan], size: int) -> Iterator[KeySpan]:
    for rotation, start, end in spans:
        for first in range(start, end, size):
            yield KeySpan(rotation, first, min(first + size, end))


def _consecutive(offsets: list[int]) -> list[tuple[int, int]]:
    """Sorted offsets as runs (first, last)."""
    runs: list[tuple[int, int]] = []
    for offset in offsets:
        if runs and runs[-1][1] == offset - 1:
            runs[-1] = (runs[-1][0], offset)
        else:
            runs.append((offset, offset))
    return runs


def _slots(keys: Tensor, runs: KeyRuns) -> Tensor:
    """Physical slots of logical keys."""
    if len(runs) == 1:
        return keys + runs[0].physical
    starts = torch.tensor([run.logical for run in runs], device=keys.device)
    shifts = torch.tensor([run.physical - run.logical for run in runs], device=keys.device)
    return keys + shifts[torch.searchsorted(starts, keys, right=True) - 1]
