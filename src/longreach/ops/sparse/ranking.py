"""One list of columns and tile diagonals by mass per cost, and the mass that each prefix of it
keeps.

Forced first (sinks, local window), then everything else by mass per key and row, the largest over
the group's heads: a column costs one key, a tile diagonal a tile. Prefixes are nested, so a single
number, the budget b, orders every pattern, and what is kept can only grow with b.

Shape letters: K keys, D tile diagonals, R heads, C columns of the list, E entries, U tiles that
hold rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longreach.ops.pattern import TILE, GroupPattern
from longreach.ops.sparse.masses import FORCED_DIAGONALS, NUM_SINKS, TileMasses, places_by_tile
from longreach.ops.sparse.stream import ScoreStream

QUANTILE_STRIDE = 16


@dataclass(frozen=True)
class Ranking:
    """The first entries of the list, best first, after the forced ones.

    is_diagonal_E: bool; index_E: key index of a column, offset of a tile diagonal. mass_ER: mass on
    its own, crossings included. complete: no entry is missing. num_keys: keys of the segment's last
    row.
    """

    is_diagonal_E: Tensor
    index_E: Tensor
    mass_ER: Tensor
    complete: bool
    num_keys: int

    def head(self, count: int) -> Ranking:
        """The first `count` entries alone; itself when it has no more."""
        if count >= self.index_E.numel():
            return self
        return Ranking(
            is_diagonal_E=self.is_diagonal_E[:count],
            index_E=self.index_E[:count],
            mass_ER=self.mass_ER[:count],
            complete=False,
            num_keys=self.num_keys,
        )

    def pattern(self, budget: int) -> GroupPattern:
        """The forced entries and the first `budget` of the list."""
        is_diagonal, index = self.is_diagonal_E[:budget], self.index_E[:budget]
        return make_pattern(index[~is_diagonal], index[is_diagonal], self.num_keys)


def make_pattern(columns: Tensor, diagonals: Tensor, num_keys: int) -> GroupPattern:
    """The forced columns and tile diagonals, with these distinct others, sorted."""
    sinks = torch.arange(min(NUM_SINKS, num_keys), device=columns.device)
    window = torch.arange(
        min(FORCED_DIAGONALS, (num_keys + TILE - 1) // TILE), device=columns.device
    )
    return GroupPattern(
        columns=torch.cat([sinks, columns]).sort().values,
        tile_diagonals=torch.cat([window, diagonals]).sort().values,
    )


def rank(mass_KR: Tensor, mass_DR: Tensor, at_least: int) -> Ranking:
    """The list's first entries: about `at_least`, and more where masses are equal.

    mass_KR: columns; mass_DR: tile diagonals. Ties are in order of kind (columns first) and index.
    """
    column_K = mass_KR.amax(1)
    diagonal_D = mass_DR.amax(1) / TILE
    column_K[:NUM_SINKS] = -1
    diagonal_D[:FORCED_DIAGONALS] = -1
    bound = _quantile(column_K, at_least)
    columns = (column_K >= bound).nonzero()[:, 0]
    diagonals = (diagonal_D >= bound).nonzero()[:, 0]
    value_E = torch.cat([column_K[columns], diagonal_D[diagonals]])
    order_E = value_E.argsort(descending=True, stable=True)
    is_diagonal_E = order_E >= columns.numel()
    return Ranking(
        is_diagonal_E=is_diagonal_E,
        index_E=torch.cat([columns, diagonals])[order_E],
        mass_ER=torch.cat([mass_KR[columns], mass_DR[diagonals]])[order_E],
        complete=float(bound) <= 0,
        num_keys=mass_KR.shape[0],
    )


def _quantile(column_K: Tensor, at_least: int) -> Tensor:
    """About the at_least-th largest value, from every 16th; 0 when that is most of them."""
    sample = column_K[::QUANTILE_STRIDE]
    count = at_least // QUANTILE_STRIDE + 1
    if 2 * count >= sample.numel():
        return column_K.new_zeros(())
    return sample.topk(count).values[-1].clamp(min=0)


def kept_curve(
    ranking: Ranking, stream: ScoreStream, masses: TileMasses, diagonal_DR: Tensor
) -> Tensor:
    """Mass that each prefix adds to the forced entries, [E, R], summed over the stream's rows.

    A pair on a kept column and a kept tile diagonal is counted at the earlier of their ranks:
    columns enter at their rank, whole diagonals at theirs, and what both hold leaves at the later
    of the two. The rows need not be those that made the list.
    """
    num_entries = ranking.index_E.numel()
    gain_ER = torch.zeros_like(ranking.mass_ER)
    place_E = torch.arange(num_entries, device=gain_ER.device)
    diagonals = ranking.is_diagonal_E
    gain_ER[diagonals] = diagonal_DR[ranking.index_E[diagonals]]
    place_D = _place_of_diagonal(ranking, masses.tiles_JPR.shape[0])
    rows_of_tile = places_by_tile(stream.rows)
    columns_C, order_C = ranking.index_E[~diagonals].sort()
    place_C = place_E[~diagonals][order_C]
    tile_U = torch.tensor(list(rows_of_tile), device=gain_ER.device)
    stream.refer_to(masses.lse2_PR)
    for at, scores in stream.columns(columns_C):
        until = at + scores.shape[0]
        mass_CUR = _by_tile(scores, rows_of_tile).to(gain_ER.dtype)
        offset_CU = tile_U - (columns_C[at:until] // TILE)[:, None]
        later_CU = place_D[offset_CU.clamp(min=-1)]
        new_CU = later_CU > place_C[at:until, None]
        gain_ER.index_add_(0, place_C[at:until], (mass_CUR * new_CU[:, :, None]).sum(1))
        crossing_CU = new_CU & (later_CU < num_entries)
        gain_ER.index_add_(0, later_CU[crossing_CU], -mass_CUR[crossing_CU])
    return gain_ER.cumsum(0)


def _by_tile(scores_CPR: Tensor, rows_of_tile: dict[int, list[int]]) -> Tensor:
    """Sum the rows of each tile: [C, U, R]. Most tiles hold one row, the last one half of all."""
    ends = [places[-1] + 1 for places in rows_of_tile.values()]
    parts = zip([0, *ends], ends, strict=False)
    return torch.cat(
        [
            scores_CPR[:, a:b] if b == a + 1 else scores_CPR[:, a:b].sum(1, keepdim=True)
            for a, b in parts
        ],
        dim=1,
    )


def _place_of_diagonal(ranking: Ranking, num_tiles: int) -> Tensor:
    """Rank of every tile diagonal: -1 forced, num_entries not in the list; the last is none."""
    num_entries = ranking.index_E.numel()
    place_D = torch.full((num_tiles + 1,), num_entries, device=ranking.index_E.device)
    place_D[:FORCED_DIAGONALS] = -1
    place_D[num_tiles] = num_entries
    where = ranking.is_diagonal_E.nonzero()[:, 0]
    place_D[ranking.index_E[where]] = where
    return place_D
