"""The truth: a linear layer in float64, rounded once.

Shape letters: R rows, I inputs, O outputs.
"""

from __future__ import annotations

from torch import Tensor


def linear_reference(x_RI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """The product x W^T + b in float64, returned in float64."""
    y_RO = x_RI.double() @ weight_OI.double().t()
    return y_RO if bias_O is None else y_RO + bias_O.double()
