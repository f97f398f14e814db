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
    if not x_RD.is_cpu or x_RD.numel() <= BLOCK_VALUES:
        _norm_block(x_RD, weight_D, eps, out)
        return out
    block = max(1, BLOCK_VALUES * x_RD.shape[0] // x_RD.numel())
    for start in range(0, x_RD.shape[0], block):
        rows = slice(start, start + block)
        _norm_block(x_RD[rows], weight_D, eps, out[rows])
    return out


def _norm_block(x_RD: Tensor, weight_D: Tensor, eps: float, out: Tensor) -> None:
    wide_RD = x_RD.to(torch.promote_types(x_RD.dtype, torch.float32))
    scale = wide_RD.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
    if wide_RD is x_RD:
        torch.mul(x_RD, scale, out=out).mul_(weight_D)
    else:
        out.copy_(wide_RD.mul_(scale).mul_(weight_D))
