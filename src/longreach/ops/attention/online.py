"""Online softmax over key tiles as GEMMs, for the rows of one kv group.

Scores are base-2 logits. Floats carry their range in the exponent, so a softmax may be shifted by
any number near the row's maximum, and the maximum itself is taken only where a row begins. While
every maximum is small the shift is 0 and costs nothing. Otherwise the GEMM begins with it. Where
scores are rounded to less than float32 it must be subtracted before they are: there it goes into
the GEMM as one more column, (query, -shift) . (key, 1). When a later tile outgrows the shift (its
row sum says so), that tile is done again with a larger one.

Shape letters: M GEMM rows (position-major, then heads), K keys of a tile, H head dim,
W = H + room for the shift column.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from longreach.ops.attention.scratch import AttentionScratch

SHIFT_COLUMNS = 32
SUM_PIECE = 512
CACHED_KEYS, CACHED_BYTES = 4096, 4 * 2**20
"""Keys, and bytes of scores, of one tile on a CPU."""
MOST_KEYS = 2**16
KEYS_FIRST_ROWS = range(12, 129)
"""Numbers of float32 rows whose scores are computed faster as [keys, rows]."""


class _Limits(NamedTuple):
    """unshifted: largest |row maximum| without a shift. row_sum: largest trusted sum."""

    unshifted: float
    row_sum: float


_LIMITS = {
    torch.bfloat16: _Limits(24.0, 2.0**24),
    torch.float16: _Limits(0.0, 0.0),
    torch.float32: _Limits(48.0, 2.0**60),
    torch.float64: _Limits(48.0, 2.0**60),
}


class OnlineSoftmax:
    """Running output, row sums and shift of M rows. Lives in scratch: one at a time.

    rotate(rotation) gives the queries [M, H] of one rotation, scaled to base-2 logits.
    """

    needs_maximum: ClassVar[bool] = True

    def __init__(
        self,
        num_rows: int,
        head_dim: int,
        dtype: torch.dtype,
        scratch: AttentionScratch,
        rotate: Callable[[int, Tensor], None],
    ) -> None:
        self._scratch, self._rotate = scratch, rotate
        self._shape = (num_rows, head_dim)
        self._dtype, self._limits = dtype, _LIMITS[dtype]
        self._wide = torch.promote_types(dtype, torch.float32)
        self._is_wide = dtype == self._wide
        self._queries: dict[int, Tensor] = {}
        self._shifted = False
        self.out_MH = scratch.take("out", self._shape, self._wide)
        self.sum_M = scratch.take("sum", (num_rows,), self._wide)
        self.shift_M = scratch.take("shift", (num_rows,), self._wide)

    @staticmethod
    def most_keys(num_rows: int, dtype: torch.dtype, device: torch.device) -> int:
        """Keys whose scores, and which themselves, stay in a CPU's caches; elsewhere many."""
        if device.type != "cpu":
            return MOST_KEYS
        return min(CACHED_KEYS, CACHED_BYTES // (num_rows * dtype.itemsize))

    def queries(self, rotation: int) -> Tensor:
        """Queries [M, W] of one rotation; columns from H on hold -shift and zeros."""
        if rotation not in self._queries:
            rows, head_dim = self._shape
            q_MW = self._scratch.take(
                f"queries{rotation}", (rows, head_dim + SHIFT_COLUMNS), self._dtype
            )
            self._rotate(rotation, q_MW[:, :head_dim])
            self._queries[rotation] = q_MW
            self._write_shift(q_MW)
        return self._queries[rotation]

    def maximum(self, rows: slice, rotation: int, k_KH: Tensor, mask_MK: Tensor | None) -> Tensor:
        """Largest score of each row over these keys, [M]."""
        return torch.amax(self._raw_scores(rows, rotation, k_KH, mask_MK), dim=1).to(self._wide)

    def begin(self, maximum_M: Tensor) -> None:
        """Start with maxima that every row is known to reach."""
        self.out_MH.zero_()
        self.sum_M.zero_()
        self.shift_M.zero_()
        self._shifted = not bool(maximum_M.abs().amax() <= self._limits.unshifted)
        if self._shifted:
            self._set_shift(maximum_M)

    def add(
        self,
        rows: slice,
        rotation: int,
        k_KH: Tensor,
        v_KH: Tensor,
        mask_MK: Tensor | None = None,
        *,
        may_empty: bool = False,
    ) -> None:
        """Let these rows attend to these keys. mask_MK is added to the last columns."""
        weights_MK = self._scores(rows, rotation, k_KH, mask_MK).exp2_()
        sum_M = _row_sums(weights_MK, exact=mask_MK is not None)
        if not bool(sum_M.amax() < self._limits.row_sum):
            self._raise_shift(rows, rotation, k_KH, mask_MK)
            weights_MK = self._scores(rows, rotation, k_KH, mask_MK).exp2_()
            sum_M = _row_sums(weights_MK, exact=mask_MK is not None)
        part_MH = self._scratch.take("part", (weights_MK.shape[0], self._shape[1]), self._dtype)
        torch.mm(weights_MK, v_KH, out=part_MH)
        self.sum_M[rows].add_(sum_M)
        self.out_MH[rows].add_(part_MH)

    def finish(self) -> tuple[Tensor, Tensor]:
        """Normalised output [M, H] and log-sum-exp [M] (natural), both in scratch."""
        self.out_MH.div_(self.sum_M[:, None])
        return self.out_MH, self.sum_M.log2_().add_(self.shift_M).mul_(math.log(2))

    def _scores(self, rows: slice, rotation: int, k_KH: Tensor, mask_MK: Tensor | None) -> Tensor:
        if not self._shifted:
            return self._raw_scores(rows, rotation, k_KH, mask_MK)
        q_MW = self.queries(rotation)[rows]
        num_keys, head_dim = k_KH.shape
        if self._is_wide:
            return self._dot(q_MW[:, :head_dim], k_KH, mask_MK, self.shift_M[rows])
        k_KW = self._scratch.take("keys1", (num_keys, q_MW.shape[1]), self._dtype)
        k_KW[:, :head_dim].copy_(k_KH)
        k_KW[:, head_dim:].copy_(self._scratch.constant(f"one{self._dtype}", self._one))
        return self._dot(q_MW, k_KW, mask_MK)

    def _raw_scores(
        self, rows: slice, rotation: int, k_KH: Tensor, mask_MK: Tensor | None
    ) -> Tensor:
        return self._dot(self.queries(rotation)[rows, : k_KH.shape[1]], k_KH, mask_MK)

    def _dot(
        self, q_MW: Tensor, k_KW: Tensor, mask_MK: Tensor | None, shift_M: Tensor | None = None
    ) -> Tensor:
        shape = (q_MW.shape[0], k_KW.shape[0])
        if self._is_wide and shape[0] in KEYS_FIRST_ROWS:
            scores_MK = self._scratch.take("scores", shape[::-1], self._dtype).t()
        else:
            scores_MK = self._scratch.take("scores", shape, self._dtype)
        _multiply(q_MW, k_KW.t(), shift_M, scores_MK)
        if mask_MK is not None:
            scores_MK[:, -mask_MK.shape[1] :].add_(mask_MK)
        return scores_MK

    def _raise_shift(
        self, rows: slice, rotation: int, k_KH: Tensor, mask_MK: Tensor | None
    ) -> None:
        """Move the shift of these rows up to the tile's maximum, and what was summed with it."""
        larger_M = self.shift_M.clone()
        tile_M = self.maximum(rows, rotation, k_KH, mask_MK)
        larger_M[rows] = torch.maximum(larger_M[rows], tile_M)
        before_M = self.shift_M.clone()
        self._set_shift(larger_M)
        factor_M = torch.exp2(before_M - self.shift_M)
        self.sum_M.mul_(factor_M)
        self.out_MH.mul_(factor_M[:, None])

    def _set_shift(self, shift_M: Tensor) -> None:
        self._shifted = True
        self.shift_M.copy_(shift_M.to(self._dtype))
        for q_MW in self._queries.values():
            self._write_shift(q_MW)

    def _write_shift(self, q_MW: Tensor) -> None:
        head_dim = self._shape[1]
        if self._shifted:
            q_MW[:, head_dim:].zero_()
            q_MW[:, head_dim].copy_(self.shift_M).neg_()

    def _one(self) -> Tensor:
        one = torch.zeros(1, SHIFT_COLUMNS, dtype=self._dtype, device=self.out_MH.device)
        one[0, 0] = 1
        return one


def _multiply(q_MW: Tensor, k_WK: Tensor, shift_M: Tensor | None, out_MK: Tensor) -> None:
    """Scores less each row's shift. An output that lies keys first is computed keys first."""
    if shift_M is None:
        torch.mm(q_MW, k_WK, out=out_MK)
    else:
        torch.addmm(shift_M[:, None], q_MW, k_WK, beta=-1, out=out_MK)


def _row_sums(weights_MK: Tensor, *, exact: bool) -> Tensor:
    """Row sums [M], float32 or wider.

    Half-precision sums are made in float32 but rounded when stored: summed piecewise, these
    roundings average out. An exact float32 sum of bfloat16 is five times slower: for rows with few
    keys only.
    """
    wide = torch.promote_types(weights_MK.dtype, torch.float32)
    if exact or wide == weights_MK.dtype:
        return weights_MK.sum(dim=1, dtype=wide)
    _rows, keys = weights_MK.shape
    whole = keys // SUM_PIECE * SUM_PIECE
    total = weights_MK[:, whole:].sum(dim=1).to(torch.float32)
    if whole:
        pieces = weights_MK[:, :whole].unflatten(1, (-1, SUM_PIECE)).sum(dim=2)
        total += pieces.to(torch.float32).sum(dim=1)
    return total
