"""The twin for every device: blocks of rows that stay in cache, one rounding at the end.

Shape letters: R rows, N heads, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK_VALUES = 1 << 17
"""Float32 values per block on the CPU (512 KiB): larger temporaries leave the L2 cache."""


def rms_norm(x_RD: Tensor, weight_D: Tensor, eps: float, *, out: Tensor | None = None) -> Tensor:
    """RMS norm x / sqrt(mean(x^2) + eps) * weight over the last axis of [R, D] or [R, N, D].

    Any strides. Computed in float32 or wider and rounded to x's dtype once. `out` may be x itself.
    """
    out = torch.empty_like(x_RD, memory_format=torch.contiguous_format) if out is None else out
    num_rows = x_RD.shape[0]
    block = num_rows
    if x_RD.device.type == "cpu" and num_rows:
        block = max(1, BLOCK_VALUES * num_rows // x_RD.numel())
    wide = torch.promote_types(x_RD.dtype, torch.float32)
    weight_D = weight_D.to(wide)
    for start in range(0, num_rows, max(block, 1)):
        rows = slice(start, start + block)
        _norm_block(x_RD[rows].to(wide), weight_D, eps, out[rows])
    return out


def _norm_block(x_RD: Tensor, weight_D: Tensor, eps: float, out: Tensor) -> None:
    length = torch.linalg.vector_norm(x_RD, dim=-1, keepdim=True)
    scale = length.square_().mul_(1 / x_RD.shape[-1]).add_(eps).rsqrt_()
    if x_RD.dtype == out.dtype:
        torch.mul(x_RD, scale, out=out).mul_(weight_D)
    else:
        out.copy_(x_RD.mul_(scale).mul_(weight_D))
