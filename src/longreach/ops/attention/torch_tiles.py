"""Attention as plain GEMMs over cache-sized tiles: any device, any float dtype.

Shape letters: T rows of the slice, N query heads, G kv heads, S physical slots, H head dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longreach.ops.attention.meta import SliceMeta
from longreach.ops.attention.online import OnlineSoftmax
from longreach.ops.attention.scratch import AttentionScratch
from longreach.ops.attention.slices import attend_blocks
from longreach.ops.pattern import Pattern

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def supports(q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, pattern: Pattern | None) -> str | None:
    """None when this twin can run the arguments, otherwise why not."""
    return None if q_TNH.dtype in DTYPES else f"{q_TNH.dtype} is not a float"


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
        q_TNH, k_GSH, v_GSH, meta, pattern, scratch, out_TNH, lse_TN, softmax=OnlineSoftmax
    )
