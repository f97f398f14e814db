"""The plain twin: any device, any float dtype.

Shape letters: R rows, I inputs, O outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(
    x_RI: Tensor,
    weight_OI: Tensor,
    bias_O: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The product x W^T + b, into `out` (x's dtype, [R, O]) where given."""
    if out is None:
        return F.linear(x_RI, weight_OI, bias_O)
    if bias_O is None:
        return torch.mm(x_RI, weight_OI.t(), out=out)
    return torch.addmm(bias_O, x_RI, weight_OI.t(), out=out)
