"""RMSNorm with its weight."""

from __future__ import annotations

from torch import Tensor, nn

from longreach.ops.norm import rms_norm


class RMSNorm(nn.Module):
    """Root mean square norm over the last axis; the weight is kept in float32.

    Shape letters: R rows, D features.
    """

    weight: Tensor

    def __init__(self, weight_D: Tensor, eps: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight_D.float())
        self.eps = eps

    def forward(self, x_RD: Tensor, out: Tensor | None = None) -> Tensor:
        """[R, D] or [R, N, D]."""
        return rms_norm(x_RD, self.weight, self.eps, out=out)
