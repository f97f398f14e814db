"""Weights stored once in the order in which oneDNN's bf16 kernels read them.

The plain twin lets oneDNN reorder the weight in every call, which one-row products (decode) pay
for most: packed they took 0.35-0.9 of the time on AMX, and 1024 rows as much as before or less. A
packed weight takes the memory of the plain one, and `unpack` gives it back to the bit.

Shape letters: R rows, I inputs, O outputs.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

EXPECTED_ROWS = 1024
"""The row count that the layout is chosen for; it serves one row as well as its own would."""


def packing_unsupported(dtype: torch.dtype, device: torch.device) -> str | None:
    """Why weights of this dtype cannot be packed there, None where they can."""
    if device.type != "cpu":
        return f"packed weights are for the CPU, not {device.type}"
    if dtype != torch.bfloat16:
        return f"packing pays for bfloat16 only, not {dtype}"
    return _onednn_missing()


@cache
def _onednn_missing() -> str | None:
    if not torch.backends.mkldnn.is_available() or not hasattr(
        torch.ops.mkldnn, "_reorder_linear_weight"
    ):
        return "this build of torch has no oneDNN"
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "oneDNN has no bfloat16 kernels for this CPU"
    return None


def pack(weight_OI: Tensor) -> Tensor:
    """The packed copy of a bfloat16 weight (an opaque oneDNN tensor of the same shape)."""
    return torch.ops.mkldnn._reorder_linear_weight(weight_OI, EXPECTED_ROWS)


def unpack(weight_OI: Tensor) -> Tensor:
    """The plain weight of a packed one, bit for bit."""
    return weight_OI.to_dense()


def linear_packed(x_RI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """The product x W^T + b with a packed weight; a new tensor (oneDNN's entry takes no output)."""
    return torch.ops.mkldnn._linear_pointwise(x_RI, weight_OI, bias_O, "none", [], "")


def linear_packed_add(
    x_RI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, residual_RO: Tensor
) -> Tensor:
    """The product x W^T + b + residual, rounded once; a new tensor."""
    return torch.ops.mkldnn._linear_pointwise.binary(x_RI, residual_RO, weight_OI, bias_O, "add")


def gated_packed(x_RI: Tensor, gate_OI: Tensor, up_OI: Tensor) -> Tensor:
    """The gate silu(x G^T) * (x U^T), activation and product inside the two GEMMs.

    0.85 of the time of one GEMM and two element-wise passes at 1024 rows; the same at one row.
    """
    gate_RO = torch.ops.mkldnn._linear_pointwise(x_RI, gate_OI, None, "swish", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(x_RI, gate_RO, up_OI, None, "mul")
