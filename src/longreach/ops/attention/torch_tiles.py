"""Attention of many rows as GEMMs over cache-sized tiles, in plain torch, on any device.

Shape letters: T rows of the slice, N query heads, G kv heads, R = N // G query heads of a kv group,
P positions of a block, M = P * R GEMM rows, K keys of a tile, H head dim, X = H // 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longreach.ops.attention.blocks import (
    INTRA,
    KeySpan,
    positions_per_block,
    row_blocks,
    spans_between,
    tiles,
)
from longreach.ops.attention.meta import LOG2_E, SliceMeta
from longreach.ops.attention.online import OnlineSoftmax
from longreach.ops.attention.pattern import KeptKeys
from longreach.ops.attention.scratch import AttentionScratch

TARGET_ROWS = 2048
TARGET_SCORES = 4 * 2**20
DIAGONAL = 256
SINKS = 64

_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def supports(
    q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, pattern: KeptKeys | None
) -> str | None:
    """None when this twin can run the arguments, otherwise why not."""
    return None if q_TNH.dtype in _DTYPES else f"dtype {q_TNH.dtype} is not a float"


def attend(
    q_TNH: Tensor,
    k_GSH: Tensor,
    v_GSH: Tensor,
    meta: SliceMeta,
    pattern: KeptKeys | None,
    scratch: AttentionScratch,
    out_TNH: Tensor,
    lse_TN: Tensor | None,
) -> None:
    """Write attention of the whole slice into out_TNH, and its log-sum-exp into lse_TN."""
    groups = k_GSH.shape[0]
    heads = q_TNH.shape[1] // groups
    positions = positions_per_block(heads, TARGET_ROWS)
    for start, end in row_blocks(meta.start, meta.num_keys, meta.geometry, positions):
        rows = slice(start - meta.start, end - meta.start)
        for group in range(groups):
            mine = slice(group * heads, (group + 1) * heads)
            block = _Block(q_TNH[rows, mine], k_GSH[group], v_GSH[group], meta, start, scratch)
            block.attend_dense()
            block.write(out_TNH[rows, mine], None if lse_TN is None else lse_TN[rows, mine])


class _Block:
    """Rows [start, end) of one kv group: which keys they meet, in which order."""

    def __init__(
        self,
        q_PRH: Tensor,
        k_SH: Tensor,
        v_SH: Tensor,
        meta: SliceMeta,
        start: int,
        scratch: AttentionScratch,
    ) -> None:
        self.q_PRH, self.k_SH, self.v_SH = q_PRH, k_SH, v_SH
        self.meta, self.scratch = meta, scratch
        positions, self.heads, head_dim = q_PRH.shape
        self.start, self.end = start, start + positions
        self.softmax = OnlineSoftmax(
            positions * self.heads, head_dim, q_PRH.dtype, scratch, self._rotate
        )

    def attend_dense(self) -> None:
        """All causal keys: the diagonal of the block first, then everything before the block."""
        self.softmax.begin(self._first_maximum())
        for start, end in self._diagonal():
            span = KeySpan(INTRA, self.start, end)
            self._add(span, self._rows(start, end), self._causal_mask(end - start))
        size = max(DIAGONAL, TARGET_SCORES // (self.q_PRH.shape[0] * self.heads))
        for span in spans_between(0, self.start, self.start, self.meta.geometry):
            for tile in tiles(span, size):
                self._add(tile, slice(None))

    def write(self, out_PRH: Tensor, lse_PR: Tensor | None) -> None:
        """Store the normalised rows."""
        out_MH, lse_M = self.softmax.finish()
        out_PRH.copy_(out_MH.view(out_PRH.shape))
        if lse_PR is not None:
            lse_PR.copy_(lse_M.view(lse_PR.shape).mul_(math.log(2)))

    def _first_maximum(self) -> Tensor:
        """Exact row maxima over the block's own keys and the sinks, where outliers live."""
        maximum_M = torch.cat(
            [
                self.softmax.maximum(
                    self._rows(start, end),
                    INTRA,
                    self._keys(self.start, end),
                    self._causal_mask(end - start),
                )
                for start, end in self._diagonal()
            ]
        )
        for span in spans_between(0, min(SINKS, self.start), self.start, self.meta.geometry):
            keys = self._keys(span.start, span.end)
            sinks_M = self.softmax.maximum(slice(None), span.rotation, keys, None)
            maximum_M = torch.maximum(maximum_M, sinks_M)
        return maximum_M

    def _diagonal(self) -> list[tuple[int, int]]:
        cuts = [*range(self.start, self.end, DIAGONAL), self.end]
        return list(zip(cuts, cuts[1:], strict=False))

    def _rows(self, start: int, end: int) -> slice:
        return slice((start - self.start) * self.heads, (end - self.start) * self.heads)

    def _add(self, span: KeySpan, rows: slice, mask_MK: Tensor | None = None) -> None:
        k_KH = self._keys(span.start, span.end)
        v_KH = self._gather("values", self.v_SH, span.start, span.end)
        self.softmax.add(rows, span.rotation, k_KH, v_KH, mask_MK)

    def _keys(self, start: int, end: int) -> Tensor:
        return self._gather("keys", self.k_SH, start, end)

    def _gather(self, name: str, pool_SH: Tensor, start: int, end: int) -> Tensor:
        """Rows of the pool that hold keys [start, end): a view where they lie together."""
        pieces = self.meta.runs.pieces(start, end)
        if len(pieces) == 1:
            return pool_SH[pieces[0][0] : pieces[0][1]]
        gathered_KH = self.scratch.take(name, (end - start, pool_SH.shape[1]), pool_SH.dtype)
        return torch.cat([pool_SH[a:b] for a, b in pieces], out=gathered_KH)

    def _rotate(self, rotation: int, target_MH: Tensor) -> None:
        """Rotate the block's queries and scale them to base-2 logits; computed in float32 or wider."""
        tables = self.meta.query_rotations[rotation]
        assert tables is not None
        half = tables[0].shape[1]
        rows = slice(self.start - self.meta.start, self.end - self.meta.start)
        factor_P11 = (self.meta.scale_T[rows] * LOG2_E)[:, None, None]
        cos_P1X, sin_P1X = (
            (t if t.shape[0] == 1 else t[rows])[:, None, :] * factor_P11 for t in tables
        )
        wide = torch.promote_types(self.q_PRH.dtype, torch.float32)
        q_PRH = self.scratch.take("unrotated", tuple(self.q_PRH.shape), wide)
        q_PRH.copy_(self.q_PRH)
        turned_PRH = self.scratch.take("turned", tuple(self.q_PRH.shape), wide)
        for mine, other, sign in ((slice(half), slice(half, None), -1), (slice(half, None), slice(half), 1)):
            part = torch.mul(q_PRH[..., mine], cos_P1X, out=turned_PRH[..., mine])
            part.addcmul_(q_PRH[..., other], sin_P1X, value=sign)
        target_MH.unflatten(0, self.q_PRH.shape[:2]).copy_(turned_PRH)

    def _causal_mask(self, positions: int) -> Tensor:
        """[positions * R, positions], 0 where the key is not after the row, -inf elsewhere."""
        dtype, heads = self.q_PRH.dtype, self.heads

        def make() -> Tensor:
            later = torch.full((DIAGONAL, DIAGONAL), -math.inf, dtype=dtype).triu_(1)
            return later.repeat_interleave(heads, dim=0).to(self.q_PRH.device)

        mask = self.scratch.constant(f"causal{heads}{dtype}", make)
        return mask[: positions * heads, :positions]
