"""Rows of one kv group that share a dual chunk: their rotated queries, their keys, their softmax.

Shape letters: R query heads of the kv group, P positions of the block, M = P * R GEMM rows,
K keys of a tile, S physical slots, H head dim, X = H // 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from longreach.ops.attention.blocks import KeySpan
from longreach.ops.attention.meta import LOG2_E, SliceMeta
from longreach.ops.attention.scratch import AttentionScratch

MASK_POSITIONS = 256
"""Positions of the largest causal square."""


class Softmax(Protocol):
    """Running attention of M rows: `online.OnlineSoftmax` or `fused.FusedSoftmax`.

    rotate(rotation, target_MH) writes the queries of one rotation, scaled to base-2 logits.
    needs_maximum: begin() must be told row maxima before the first add(). most_keys: how many keys
    so many rows may add() before it gets slower. Rows begin in ascending order, by their own keys.
    may_empty: the mask may leave rows without a key.
    """

    needs_maximum: ClassVar[bool]

    def __init__(
        self,
        num_rows: int,
        head_dim: int,
        dtype: torch.dtype,
        scratch: AttentionScratch,
        rotate: Callable[[int, Tensor], None],
    ) -> None: ...

    @staticmethod
    def most_keys(num_rows: int, dtype: torch.dtype, device: torch.device) -> int: ...

    def maximum(
        self, rows: slice, rotation: int, k_KH: Tensor, mask_MK: Tensor | None
    ) -> Tensor: ...

    def begin(self, maximum_M: Tensor) -> None: ...

    def add(
        self,
        rows: slice,
        rotation: int,
        k_KH: Tensor,
        v_KH: Tensor,
        mask_MK: Tensor | None = None,
        *,
        may_empty: bool = False,
    ) -> None: ...

    def finish(self) -> tuple[Tensor, Tensor]: ...


class Block:
    """Rows [start, end) of one kv group. q_PRH: un-rotated; k_SH, v_SH: the group's pool.

    A pool of another dtype than the queries' is converted tile by tile, on its way into scratch.
    """

    def __init__(
        self,
        q_PRH: Tensor,
        k_SH: Tensor,
        v_SH: Tensor,
        meta: SliceMeta,
        start: int,
        scratch: AttentionScratch,
        softmax: type[Softmax],
    ) -> None:
        self.q_PRH, self.k_SH, self.v_SH = q_PRH, k_SH, v_SH
        self.meta, self.scratch = meta, scratch
        positions, self.heads, head_dim = q_PRH.shape
        self.start, self.end = start, start + positions
        self.softmax = softmax(positions * self.heads, head_dim, q_PRH.dtype, scratch, self._rotate)

    @property
    def num_rows(self) -> int:
        """GEMM rows M."""
        return (self.end - self.start) * self.heads

    def rows(self, start: int, end: int) -> slice:
        """GEMM rows of positions [start, end)."""
        return slice((start - self.start) * self.heads, (end - self.start) * self.heads)

    def maximum(self, rows: slice, span: KeySpan, mask_MK: Tensor | None = None) -> Tensor:
        """Exact row maxima over the keys of one span."""
        k_KH = self._gather("keys", self.k_SH, [span])
        return self.softmax.maximum(rows, span.rotation, k_KH, mask_MK)

    def add(self, rows: slice, spans: list[KeySpan], mask_MK: Tensor | None = None) -> None:
        """Attend to spans of one rotation. mask_MK is added to the last columns of the scores."""
        k_KH = self._gather("keys", self.k_SH, spans)
        v_KH = self._gather("values", self.v_SH, spans)
        self.softmax.add(rows, spans[0].rotation, k_KH, v_KH, mask_MK)

    def add_slots(self, rotation: int, slots_K: Tensor, mask_MK: Tensor | None = None) -> None:
        """Let every row attend to the keys of single slots."""
        k_KH = self._select("keys", self.k_SH, slots_K)
        v_KH = self._select("values", self.v_SH, slots_K)
        self.softmax.add(slice(None), rotation, k_KH, v_KH, mask_MK, may_empty=True)

    def write(self, out_PRH: Tensor, lse_PR: Tensor | None) -> None:
        """Store the normalised rows."""
        out_MH, lse_M = self.softmax.finish()
        out_PRH.copy_(out_MH.view(out_PRH.shape))
        if lse_PR is not None:
            lse_PR.copy_(lse_M.view(lse_PR.shape))

    def causal_mask(self, positions: int) -> Tensor:
        """[positions * R, positions], 0 where the key is not after the row, -inf elsewhere."""
        dtype, heads = self.q_PRH.dtype, self.heads
        size = max(positions, MASK_POSITIONS)

        def make() -> Tensor:
            later = torch.full((size, size), -math.inf, dtype=dtype).triu_(1)
            return later.repeat_interleave(heads, dim=0).to(self.q_PRH.device)

        mask = self.scratch.constant(f"causal {size} {heads} {dtype}", make)
        return mask[: positions * heads, :positions]

    def _gather(self, name: str, pool_SH: Tensor, spans: list[KeySpan]) -> Tensor:
        """The keys of these spans: a view where they lie together, else a copy in scratch."""
        pieces = [piece for span in spans for piece in self.meta.runs.pieces(span.start, span.end)]
        if len(pieces) == 1 and pool_SH.dtype == self.q_PRH.dtype:
            return pool_SH[pieces[0][0] : pieces[0][1]]
        num_keys = sum(last - first for first, last in pieces)
        gathered_KH = self.scratch.take(name, (num_keys, pool_SH.shape[1]), self.q_PRH.dtype)
        if len(pieces) == 1:  # four times as fast as torch.cat, which converts in one thread
            return gathered_KH.copy_(pool_SH[pieces[0][0] : pieces[0][1]])
        return torch.cat([pool_SH[first:last] for first, last in pieces], out=gathered_KH)

    def _select(self, name: str, pool_SH: Tensor, slots_K: Tensor) -> Tensor:
        """The keys of single slots, in scratch and in the queries' dtype."""
        shape, dtype = (slots_K.numel(), pool_SH.shape[1]), self.q_PRH.dtype
        selected_KH = self.scratch.take(name, shape, pool_SH.dtype)
        torch.index_select(pool_SH, 0, slots_K, out=selected_KH)
        if pool_SH.dtype == dtype:
            return selected_KH
        return self.scratch.take(name, shape, dtype).copy_(selected_KH)

    def _rotate(self, rotation: int, target_MH: Tensor) -> None:
        """Rotate the queries and scale them to base-2 logits; computed in float32 or wider."""
        tables = self.meta.query_rotations[rotation]
        assert tables is not None
        rows = slice(self.start - self.meta.start, self.end - self.meta.start)
        factor_P11 = (self.meta.scale_T[rows] * LOG2_E)[:, None, None]
        cos_P1X, sin_P1X = (
            (table if table.shape[0] == 1 else table[rows])[:, None, :] * factor_P11
            for table in tables
        )
        shape, half = tuple(self.q_PRH.shape), cos_P1X.shape[2]
        wide = torch.promote_types(self.q_PRH.dtype, torch.float32)
        q_PRH = self.scratch.take("unrotated", shape, wide).copy_(self.q_PRH)
        turned_PRH = self.scratch.take("turned", shape, wide)
        first, second = q_PRH[..., :half], q_PRH[..., half:]
        torch.mul(first, cos_P1X, out=turned_PRH[..., :half]).addcmul_(second, sin_P1X, value=-1)
        torch.mul(second, cos_P1X, out=turned_PRH[..., half:]).addcmul_(first, sin_P1X)
        target_MH.unflatten(0, shape[:2]).copy_(turned_PRH)
