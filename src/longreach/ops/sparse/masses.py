"""Softmax mass of the sampled rows: per tile, per column, per tile diagonal, per pattern.

All masses are shares of a row's whole softmax, in float32 (or wider).

Shape letters: J key tiles, K keys, P sampled rows, R heads of the group, D tile diagonals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from longreach.ops.pattern import TILE, GroupPattern
from longreach.ops.sparse.stream import ScoreStream

NUM_SINKS = 30
FORCED_DIAGONALS = 2
"""Tile diagonals 0 and 1: offsets 0 to 128 at least, so the window of 100 that Qwen forces."""
NUM_LOCAL_KEYS = NUM_SINKS + FORCED_DIAGONALS * TILE - TILE // 2
"""Keys that a row keeps on average before any is chosen."""

REFERENCE_KEYS = 128
OVERFLOW_STEP = 100.0


@dataclass(frozen=True)
class TileMasses:
    """One pass over the keys: row sums, and where by tile they come from.

    tiles_JPR: mass of every key tile, without the sinks. sinks_PR: mass of the first `num_sinks`
    keys. lse2_PR: base-2 log of the softmax denominator.
    """

    tiles_JPR: Tensor
    sinks_PR: Tensor
    lse2_PR: Tensor
    num_sinks: int

    def take(self, picked: Sequence[int]) -> TileMasses:
        """Some of the rows, by place."""
        index = torch.tensor(picked, dtype=torch.int64, device=self.lse2_PR.device)
        return TileMasses(
            self.tiles_JPR[:, index], self.sinks_PR[index], self.lse2_PR[index], self.num_sinks
        )

    def padded(self, num_tiles: int) -> TileMasses:
        """With tiles after the last one, of which no row sees a key."""
        missing = num_tiles - self.tiles_JPR.shape[0]
        return replace(self, tiles_JPR=pad(self.tiles_JPR, (0, 0, 0, 0, 0, missing)))


def tile_masses(stream: ScoreStream, num_sinks: int) -> TileMasses:
    """Pass 1: the softmax denominator of every row, and the mass of every tile.

    Rows are scored against a reference taken from a few keys. Where another key is so much larger
    that the sum overflows, those rows' references are raised and the pass repeated.
    """
    reference_PR = _reference(stream)
    while True:
        stream.refer_to(reference_PR)
        tiles_JPR, sinks_PR = _sum_tiles(stream, num_sinks)
        total_PR = tiles_JPR.sum(0) + sinks_PR
        overflow_PR = ~torch.isfinite(total_PR)
        if not bool(overflow_PR.any()):
            break
        reference_PR = torch.where(overflow_PR, reference_PR + OVERFLOW_STEP, reference_PR)
    lse2_PR = reference_PR + torch.log2(total_PR)
    return TileMasses(tiles_JPR.div_(total_PR), sinks_PR.div_(total_PR), lse2_PR, num_sinks)


def _reference(stream: ScoreStream) -> Tensor:
    """A lower bound of each row's largest logit: over the sinks, a few spread keys and itself."""
    stride = max(1, stream.num_keys // REFERENCE_KEYS)
    spread = torch.arange(0, stream.num_keys, stride, device=stream.rows_P.device)
    sinks = torch.arange(min(8, stream.num_keys), device=stream.rows_P.device)
    index = torch.unique(torch.cat([sinks, spread, stream.rows_P]))
    return stream.largest_logits(index)


def _sum_tiles(stream: ScoreStream, num_sinks: int) -> tuple[Tensor, Tensor]:
    num_tiles = (stream.num_keys + TILE - 1) // TILE
    shape = (stream.num_rows, stream.num_heads)
    tiles_JPR = torch.zeros(num_tiles, *shape, dtype=stream.wide, device=stream.rows_P.device)
    sinks_PR = torch.zeros(shape, dtype=stream.wide, device=stream.rows_P.device)
    for start, first, scores in stream.blocks():
        if start == 0:
            sinks_PR = scores[:num_sinks].sum(0, dtype=stream.wide)
            scores[:num_sinks] = 0
        whole, tile = scores.shape[0] // TILE, start // TILE
        parts = scores[: whole * TILE].view(whole, TILE, *scores.shape[1:])
        tiles_JPR[tile : tile + whole, first:] = parts.sum(1)
        if whole * TILE < scores.shape[0]:
            tiles_JPR[tile + whole, first:] = scores[whole * TILE :].sum(0)
    return tiles_JPR, sinks_PR


def column_masses(stream: ScoreStream, lse2_PR: Tensor) -> Tensor:
    """Pass 2: mass of every column summed over the rows, [K, R], forced tile diagonals left out.

    Mass that the local window keeps anyway would only make recent keys look like good columns.
    """
    stream.refer_to(lse2_PR)
    mass_KR = torch.zeros(
        stream.num_keys, stream.num_heads, dtype=stream.wide, device=lse2_PR.device
    )
    each_head = torch.eye(stream.num_heads, dtype=stream.dtype, device=lse2_PR.device)
    per_head = each_head.repeat(stream.num_rows, 1)
    window = [max(0, row // TILE - FORCED_DIAGONALS + 1) * TILE for row in stream.rows]
    for start, first, scores in stream.blocks(visible=window):
        summed = scores.flatten(1) @ per_head[first * stream.num_heads :]
        mass_KR[start : start + scores.shape[0]] = summed
    return mass_KR


def diagonal_masses(masses: TileMasses, rows: Sequence[int]) -> Tensor:
    """Mass of every tile diagonal summed over the rows, [D, R], without the sinks."""
    num_tiles, _, num_heads = masses.tiles_JPR.shape
    mass_DR = masses.tiles_JPR.new_zeros(num_tiles, num_heads)
    for tile, places in places_by_tile(rows).items():
        own_JR = masses.tiles_JPR[: tile + 1, places[0] : places[-1] + 1].sum(1)
        mass_DR[: tile + 1] += own_JR.flip(0)
    return mass_DR


def places_by_tile(rows: Sequence[int]) -> dict[int, list[int]]:
    """Tile -> places of its rows in the ascending `rows`; those of one tile follow each other."""
    found: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        found.setdefault(row // TILE, []).append(place)
    return found


def kept_masses(stream: ScoreStream, masses: TileMasses, group: GroupPattern) -> Tensor:
    """Share of each row's softmax that the pattern keeps, [P, R], in [0, 1].

    Whole tiles come from the tile masses; then the columns that no kept tile covers are scored.
    Exact for any pattern whose columns hold the sinks that `masses` sets apart (or none set apart).
    """
    stream.refer_to(masses.lse2_PR)
    tile_P = stream.rows_P // TILE
    num_tiles = masses.tiles_JPR.shape[0]
    offset_JP = tile_P - torch.arange(num_tiles, device=tile_P.device)[:, None]
    kept_D = torch.zeros(num_tiles + 1, dtype=torch.bool, device=tile_P.device)
    kept_D[group.tile_diagonals[group.tile_diagonals < num_tiles]] = True
    kept_JP = kept_D[offset_JP.clamp(min=-1)]
    kept_PR = (masses.tiles_JPR * kept_JP[:, :, None]).sum(0)
    index_C = group.columns[group.columns < stream.num_keys]
    for at, scores in stream.columns(index_C):
        index = index_C[at : at + scores.shape[0]]
        alone_BP = ~kept_JP[index // TILE] | (index < masses.num_sinks)[:, None]
        kept_PR += (scores * alone_BP[:, :, None]).sum(0, dtype=kept_PR.dtype)
    return kept_PR.clamp_(max=1.0)
