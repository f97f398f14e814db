"""Attention of few rows (decode, a question) by torch's fused CPU kernel, all kv groups in a call.

The query heads of a kv group, of all rows, are the rows of the kernel, so K and V are read once,
one call per contiguous key range. Partial results are merged by their log-sum-exp.

Shape letters: T rows of the slice, N query heads, G kv heads, R = N // G, P rows of a block,
M = P * R (position-major, then heads), S physical slots, K keys of a piece, H head dim.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from longreach.ops.attention import fused
from longreach.ops.attention.blocks import INTRA, row_blocks, spans_between
from longreach.ops.attention.meta import SliceMeta
from longreach.ops.attention.scratch import AttentionScratch
from longreach.ops.pattern import Pattern
from longreach.ops.rope import rotate

MAX_ROWS = 128
MAX_PIECES = 64
CONVERTED_BYTES = 2 * 2**20
"""Keys of one call where the pool has another dtype than the query: converted in scratch."""
MOST_PARTS = 32
"""Partial results held at most before they are merged."""


def supports(q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, pattern: Pattern | None) -> str | None:
    """None when this twin can run the arguments, otherwise why not."""
    if meta.length > MAX_ROWS:
        return f"the slice has {meta.length} rows, more than {MAX_ROWS}"
    if pattern is not None:
        return "there is a sparse pattern"
    if q_TNH.device.type != "cpu" or fused.KERNEL is None:
        return f"torch {torch.__version__} has no fused kernel for {q_TNH.device.type}"
    if q_TNH.dtype not in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        return f"dtype {q_TNH.dtype} is not a float"
    if meta.length > 1 and q_TNH.dtype not in (torch.float32, torch.float64):
        return f"{meta.length} rows of {q_TNH.dtype} are faster as plain products"
    if len(meta.runs) > MAX_PIECES:
        return f"the keys lie in more than {MAX_PIECES} runs"
    return None


def attend(
    q_TNH: Tensor,
    k_GSH: Tensor,
    v_GSH: Tensor,
    meta: SliceMeta,
    pattern: Pattern | None,
    scratch: AttentionScratch,
    out_TNH: Tensor,
    lse_TN: Tensor | None,
) -> None:
    """Write attention of the slice's rows into out_TNH, and its log-sum-exp into lse_TN."""
    groups = k_GSH.shape[0]
    for start, end in row_blocks(meta.start, meta.num_keys, meta.geometry, meta.num_keys):
        rows = slice(start - meta.start, end - meta.start)
        block = _Block(q_TNH[rows], k_GSH, v_GSH, meta, start, scratch)
        out_GMH, lse_GM = block.attend()
        out_TNH[rows].unflatten(1, (groups, -1)).copy_(block.by_row(out_GMH))
        if lse_TN is not None:
            lse_TN[rows].unflatten(1, (groups, -1)).copy_(block.by_row(lse_GM))


class _Block:
    """Rows [start, start + P) of one dual chunk. q_PNH: un-rotated."""

    def __init__(
        self,
        q_PNH: Tensor,
        k_GSH: Tensor,
        v_GSH: Tensor,
        meta: SliceMeta,
        start: int,
        scratch: AttentionScratch,
    ) -> None:
        self.q_PNH, self.k_GSH, self.v_GSH = q_PNH, k_GSH, v_GSH
        self.meta, self.start, self.scratch = meta, start, scratch
        self.num_rows = q_PNH.shape[0]
        scale_P = meta.scale_T[start - meta.start :][: self.num_rows]
        self.scale, self.factor_P = float(scale_P[0]), scale_P / scale_P[0]

    def attend(self) -> tuple[Tensor, Tensor]:
        """Output [G, M, H] and log-sum-exp [G, M]."""
        # A lone row sees its own key as any other.
        shared = self.start + (1 if self.num_rows == 1 else 0)
        parts = _Parts(self.scale)
        for span in spans_between(0, shared, self.start, self.meta.geometry):
            q_GMH = self._queries(span.rotation)
            for first, last in self.meta.runs.pieces(span.start, span.end):
                for k_GKH, v_GKH in self._widened(first, last):
                    parts.add(q_GMH, k_GKH, v_GKH)
        if self.num_rows > 1:
            parts.add(self._queries(INTRA), *self._own(), self._causal_mask())
        return parts.merge()

    def by_row(self, x_GM: Tensor) -> Tensor:
        """[G, M, ...] as [P, G, R, ...]."""
        return x_GM.unflatten(1, (self.num_rows, -1)).transpose(0, 1)

    def _queries(self, rotation: int) -> Tensor:
        """Rotated, and scaled as the first row is, [G, M, H]."""
        tables = self.meta.query_rotations[rotation]
        assert tables is not None
        rows = slice(self.start - self.meta.start, self.start - self.meta.start + self.num_rows)
        cos, sin = (table if table.shape[0] == 1 else table[rows] for table in tables)
        q_PNH = rotate(self.q_PNH, cos, sin)
        if self.num_rows > 1:
            q_PNH = q_PNH * self.factor_P[:, None, None].to(q_PNH.dtype)
        q_PGRH = q_PNH.unflatten(1, (self.k_GSH.shape[0], -1))
        return q_PGRH.transpose(0, 1).flatten(1, 2)

    def _widened(self, first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and values of slots [first, last) in the query's dtype; what is not, in pieces."""
        k_GKH, v_GKH = self.k_GSH[:, first:last], self.v_GSH[:, first:last]
        if k_GKH.dtype == self.q_PNH.dtype:
            yield k_GKH, v_GKH
            return
        groups, _, head_dim = k_GKH.shape
        size = max(CONVERTED_BYTES // (groups * head_dim * self.q_PNH.itemsize), 1)
        pieces = zip(k_GKH.split(size, 1), v_GKH.split(size, 1), strict=True)
        for k_GPH, v_GPH in pieces:
            yield self._convert("row keys", k_GPH), self._convert("row values", v_GPH)

    def _convert(self, name: str, x_GPH: Tensor) -> Tensor:
        return self.scratch.take(name, tuple(x_GPH.shape), self.q_PNH.dtype).copy_(x_GPH)

    def _own(self) -> tuple[Tensor, Tensor]:
        """Keys and values of the block's own positions."""
        runs = self.meta.runs.pieces(self.start, self.start + self.num_rows)
        pools = (self.k_GSH, self.v_GSH)
        k_GPH, v_GPH = (torch.cat([pool[:, a:b] for a, b in runs], 1) for pool in pools)
        return k_GPH.to(self.q_PNH.dtype), v_GPH.to(self.q_PNH.dtype)

    def _causal_mask(self) -> Tensor:
        """[M, P], 0 where the key is not after the row, -inf elsewhere."""
        count, heads = self.num_rows, self.q_PNH.shape[1] // self.k_GSH.shape[0]
        later = self.q_PNH.new_full((count, count), -math.inf).triu_(1)
        return later.repeat_interleave(heads, dim=0)


class _Parts:
    """Softmaxes over disjoint keys, and the one over all of them. scale: of every score."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._outs: list[Tensor] = []
        self._lses: list[Tensor] = []

    def add(
        self, q_GMH: Tensor, k_GKH: Tensor, v_GKH: Tensor, mask_MK: Tensor | None = None
    ) -> None:
        """Attend to some keys."""
        assert fused.KERNEL is not None
        mask = None if mask_MK is None else mask_MK[None, None]
        out, lse = fused.KERNEL(
            q_GMH[None], k_GKH[None], v_GKH[None], attn_mask=mask, scale=self._scale
        )
        self._outs.append(out[0])
        self._lses.append(lse[0])
        if len(self._outs) == MOST_PARTS:
            merged = self.merge()
            self._outs, self._lses = [merged[0]], [merged[1]]

    def merge(self) -> tuple[Tensor, Tensor]:
        """Output and log-sum-exp over all keys."""
        if len(self._outs) == 1:
            return self._outs[0], self._lses[0]
        lse_P = torch.stack(self._lses)
        total = torch.logsumexp(lse_P, dim=0)
        weights_P = torch.exp(lse_P - total)[..., None]
        return (torch.stack(self._outs) * weights_P).sum(dim=0), total
