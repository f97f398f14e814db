"""Online softmax over key tiles by torch's fused CPU kernel, for the rows of one kv group.

The query heads of a kv group are rows of one head for the kernel, so K and V are read once for all
of them. Each call gives a normalised part and its log-sum-exp; parts are merged in float32.

Shape letters: M GEMM rows (position-major, then heads), K keys of a tile, H head dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from longreach.ops.attention.scratch import AttentionScratch

MOST_KEYS = 2**16
KERNEL = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
"""(q, k, v, *, attn_mask, scale) -> (out, lse), all [batch, heads, rows, head_dim]."""


class FusedSoftmax:
    """Running output and log-sum-exp of M rows. Lives in scratch: one at a time.

    rotate(rotation, target) writes the queries [M, H] of one rotation, scaled to base-2 logits.
    """

    needs_maximum: ClassVar[bool] = False

    def __init__(
        self,
        num_rows: int,
        head_dim: int,
        dtype: torch.dtype,
        scratch: AttentionScratch,
        rotate: Callable[[int, Tensor], None],
    ) -> None:
        self._scratch, self._rotate = scratch, rotate
        self._shape, self._dtype = (num_rows, head_dim), dtype
        self._wide = torch.promote_types(dtype, torch.float32)
        self._queries: dict[int, Tensor] = {}
        self._begun = 0
        self.out_MH = scratch.take("out", self._shape, self._wide)
        self.lse_M = scratch.take("lse", (num_rows,), self._wide)

    @staticmethod
    def most_keys(num_rows: int, dtype: torch.dtype, device: torch.device) -> int:  # noqa: ARG004
        """Many: the kernel cuts them itself."""
        return MOST_KEYS

    def maximum(self, rows: slice, rotation: int, k_KH: Tensor, mask_MK: Tensor | None) -> Tensor:
        """Largest base-2 logit of each row; nothing here needs it."""
        scores_MK = self._query(rotation)[rows] @ k_KH.t()
        if mask_MK is not None:
            scores_MK[:, -mask_MK.shape[1] :] += mask_MK
        return scores_MK.amax(dim=1).to(self._wide)

    def begin(self, maximum_M: Tensor) -> None:
        """The kernel finds the maxima itself."""

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
        """Let these rows attend to these keys. mask_MK is added to the last columns of the scores.

        Rows begin in ascending order. may_empty: the mask may leave rows without a key.
        """
        if mask_MK is not None and mask_MK.shape[1] < k_KH.shape[0]:
            free = k_KH.shape[0] - mask_MK.shape[1]
            self.add(rows, rotation, k_KH[:free], v_KH[:free])
            k_KH, v_KH = k_KH[free:], v_KH[free:]
        assert KERNEL is not None
        part_MH, lse_M = KERNEL(
            self._query(rotation)[None, None, rows],
            k_KH[None, None],
            v_KH[None, None],
            attn_mask=None if mask_MK is None else mask_MK[None, None],
            scale=math.log(2),
        )
        lse_M = lse_M[0, 0].to(self._wide)
        if mask_MK is not None and may_empty:  # such rows get 0 from the kernel
            lse_M = lse_M.masked_fill(mask_MK.amax(dim=1) == -math.inf, -math.inf)
        self._merge(rows, part_MH[0, 0], lse_M)

    def finish(self) -> tuple[Tensor, Tensor]:
        """Normalised output [M, H] and log-sum-exp [M] (natural), both in scratch."""
        return self.out_MH, self.lse_M

    def _merge(self, rows: slice, part_MH: Tensor, lse_M: Tensor) -> None:
        if rows.start is not None and rows.start >= self._begun:
            self._begun = rows.stop
            self.out_MH[rows].copy_(part_MH)
            self.lse_M[rows].copy_(lse_M)
            return
        before_M = self.lse_M[rows]
        total_M = torch.logaddexp(before_M, lse_M)
        keep_M = torch.exp(before_M - total_M)
        self.out_MH[rows].mul_(keep_M[:, None])
        self.out_MH[rows].addcmul_(part_MH.to(self._wide), torch.exp(lse_M - total_M)[:, None])
        before_M.copy_(total_M)

    def _query(self, rotation: int) -> Tensor:
        if rotation not in self._queries:
            q_MH = self._scratch.take(f"queries{rotation}", self._shape, self._dtype)
            self._rotate(rotation, q_MH)
            self._queries[rotation] = q_MH
        return self._queries[rotation]
