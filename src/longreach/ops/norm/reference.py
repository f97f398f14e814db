"""The truth: RMS norm in float64.

Shape letters: D features.
"""

from __future__ import annotations

from torch import Tensor


def rms_norm_reference(x_D: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """RMS norm x / sqrt(mean(x^2) + eps) * weight (arXiv 1910.07467) over the last axis."""
    wide_D = x_D.double()
    return wide_D * (wide_D.square().mean(-1, keepdim=True) + eps).rsqrt() * weight_D.double()
