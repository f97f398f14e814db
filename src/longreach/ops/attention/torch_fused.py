"""Attention of many rows by torch's fused CPU kernel, one call per block of rows and key tile.

The faster twin in float32, and where the kernel multiplies bf16 in hardware tiles (AMX): it keeps
scores in registers. In bf16 without them the plain GEMMs of torch_tiles are two to four times as
fast.

Shape letters: T rows of the slice, N query heads, G kv heads, S physical slots, H head dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longreach.ops.attention import fused
from longreach.ops.attention.meta import SliceMeta
from longreach.ops.attention.scratch import AttentionScratch
from longreach.ops.attention.slices import attend_blocks
from longreach.ops.pattern import Pattern
from longreach.platform import has_amx


def supports(q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, pattern: Pattern | None) -> str | None:
    """None when this twin can run the arguments, otherwise why not."""
    if q_TNH.device.type != "cpu" or fused.KERNEL is None:
        return f"torch {torch.__version__} has no fused kernel for {q_TNH.device.type}"
    if q_TNH.dtype in (torch.float32, torch.float64) or (
        q_TNH.dtype == torch.bfloat16 and has_amx()
    ):
        return None
    return f"products of {q_TNH.dtype} are faster apart on this CPU"


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
    """Write attention of the whole slice into out_TNH, and its log-sum-exp into lse_TN."""
    attend_blocks(
        q_TNH, k_GSH, v_GSH, meta, pattern, scratch, out_TNH, lse_TN, softmax=fused.FusedSoftmax
    )
