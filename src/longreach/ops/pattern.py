"""Which keys each query row keeps: the sparse pattern, shared by selection and attention.

A pattern belongs to a *segment* of rows but speaks in absolute indices, so it may span slices and
dual-attention chunks alike. Row i keeps key j <= i where j is one of `columns`, or where
i // tile - j // tile is one of `tile_diagonals` (tiles lie on the absolute grid of multiples of
`tile`). Tile diagonal 0 is always kept, so every row keeps itself.

Shape letters: T query rows, S keys, G kv heads, C columns, D tile diagonals.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longreach.errors import ShapeError

TILE = 128


@dataclass(frozen=True, kw_only=True)
class GroupPattern:
    """The keys kept by every query head of one KV group.

    columns: int64 [C], absolute key indices, strictly increasing.
    tile_diagonals: int64 [D], tile offsets d >= 0, strictly increasing, starting with 0: query
    tile t keeps key tile t - d.
    Raises ShapeError when a tensor is not of that form.
    """

    columns: Tensor
    tile_diagonals: Tensor
    tile: int = TILE

    def __post_init__(self) -> None:
        for name in ("columns", "tile_diagonals"):
            _check_increasing(name, getattr(self, name))
        if self.tile < 1:
            raise ShapeError(f"tile is {self.tile}: expected 1 or more")
        if self.tile_diagonals.numel() == 0 or int(self.tile_diagonals[0]) != 0:
            raise ShapeError("tile_diagonals must hold 0, so that every row keeps its own tile")

    def carried(self, selected_stop: int, stop: int) -> GroupPattern:
        """The same pattern for later rows, up to `stop`, with every newer key kept.

        selected_stop: first row after the segment the pattern was chosen on. No score is known
        for keys from there on, so all of them are kept, as whole tile diagonals.
        """
        reach = max(stop - 1, 0) // self.tile - selected_stop // self.tile
        if reach < 1:
            return self
        newer = torch.arange(reach + 1, device=self.tile_diagonals.device)
        diagonals = torch.unique(torch.cat([self.tile_diagonals, newer]))
        return GroupPattern(columns=self.columns, tile_diagonals=diagonals, tile=self.tile)


@dataclass(frozen=True)
class Pattern:
    """One `GroupPattern` per KV head; None where the group attends to everything (dense)."""

    groups: tuple[GroupPattern | None, ...]

    @property
    def is_dense(self) -> bool:
        """Whether no group leaves a key out."""
        return all(group is None for group in self.groups)

    def carried(self, selected_stop: int, stop: int) -> Pattern:
        """`GroupPattern.carried` for every group that is not dense."""
        return Pattern(
            tuple(g if g is None else g.carried(selected_stop, stop) for g in self.groups)
        )

    def density(self, rows: range) -> list[float]:
        """Computed pairs over causal pairs of `rows` (a contiguous range), per KV head."""
        causal = causal_pairs(rows)
        return [1.0 if g is None else kept_pairs(g, rows) / max(causal, 1) for g in self.groups]


def causal_pairs(rows: range) -> int:
    """Number of (row, key) pairs with key <= row, for a contiguous range of rows."""
    return (rows.start + 1 + rows.stop) * len(rows) // 2


def kept_pairs(group: GroupPattern, rows: range) -> int:
    """Exact number of pairs that `group` keeps for a contiguous range of rows.

    Whole tiles are counted by diagonal; then the columns left of the row's own tile that no kept
    tile covers. Memory O(query tiles x diagonals).
    """
    if len(rows) == 0:
        return 0
    tile, device = group.tile, group.columns.device
    first, last = rows.start // tile, (rows.stop - 1) // tile
    tiles = torch.arange(first, last + 1, device=device)
    begin = (tiles * tile).clamp(min=rows.start)
    end = ((tiles + 1) * tile).clamp(max=rows.stop)
    own = (begin + 1 + end - 2 * tiles * tile) * (end - begin) // 2
    columns_of_tile = torch.bincount(group.columns // tile, minlength=last + 2)
    columns_before = columns_of_tile.cumsum(0) - columns_of_tile
    source = tiles[:, None] - group.tile_diagonals[None, 1:]
    reached = source >= 0
    covered = (columns_of_tile[source.clamp(min=0)] * reached).sum(1)
    per_row = tile * reached.sum(1) + columns_before[tiles] - covered
    return int((own + (end - begin) * per_row).sum())


def keep_mask(group: GroupPattern | None, rows: Tensor, num_keys: int) -> Tensor:
    """The definition itself, bool [T, S]: the oracle of tests and of reference attention.

    rows: int64 [T], absolute. None (dense) is the causal mask.
    """
    keys = torch.arange(num_keys, device=rows.device)
    causal = keys[None, :] <= rows[:, None]
    if group is None:
        return causal
    is_column = torch.zeros(num_keys, dtype=torch.bool, device=rows.device)
    is_column[group.columns[group.columns < num_keys]] = True
    tiles = torch.arange(-(-num_keys // group.tile), device=rows.device)
    tile_offset = rows[:, None] // group.tile - tiles[None, :]
    kept_tile = torch.isin(tile_offset, group.tile_diagonals)
    return causal & (is_column | kept_tile.repeat_interleave(group.tile, 1)[:, :num_keys])


def _check_increasing(name: str, index: Tensor) -> None:
    if index.dim() != 1 or index.dtype != torch.int64:
        raise ShapeError(f"{name} is {index.dtype} {tuple(index.shape)}: expected int64 [n]")
    if index.numel() and (int(index[0]) < 0 or not bool((index[1:] > index[:-1]).all())):
        raise ShapeError(f"{name} must be strictly increasing from 0 or more")
