"""Linear layers in three forms: plain, packed for the CPU, int8. All have the same three uses.

    bind            what to call for a step of that many rows (int8 dequantises once per step)
    forward         x W^T + b
    add_to          residual += x W^T + b, in place
    gated           silu(x G^T) * (x U^T) of a weight that stacks gate G and up U

Results of forward and gated may live in the scratch: they hold until the next call on the same
projection. Shape letters: R rows, I inputs, O outputs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from longreach.ops.activation import silu_mul
from longreach.ops.attention import AttentionScratch
from longreach.ops.linear import (
    Int8Weight,
    dequantise,
    gated_packed,
    linear,
    linear_int8,
    linear_int8_unsupported,
    linear_packed,
    linear_packed_add,
    pack,
    packing_unsupported,
    quantise,
    unpack,
)
from longreach.ops.linear.int8 import FEW_ROWS

logger = logging.getLogger(__name__)

Form = Literal["plain", "packed", "int8"]


class Product(Protocol):
    """What `bind` returns."""

    def forward(self, x_RI: Tensor, scratch: AttentionScratch) -> Tensor:
        """The product x W^T + b."""
        ...

    def add_to(self, residual_RO: Tensor, x_RI: Tensor, scratch: AttentionScratch) -> None:
        """Add to the residual: residual += x W^T + b, in place."""
        ...

    def gated(self, x_RI: Tensor, scratch: AttentionScratch) -> Tensor:
        """The gate silu(gate) * up."""
        ...


class PlainProjection(nn.Module):
    """Any device, any float dtype; products land in reused buffers."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight_OI)
        self.register_buffer("bias", bias_O)

    def bind(self, rows: int, name: str, scratch: AttentionScratch) -> Product:
        """Itself."""
        return self

    def forward(self, x_RI: Tensor, scratch: AttentionScratch) -> Tensor:
        """The product x W^T + b, in the scratch."""
        shape = (x_RI.shape[0], self.weight.shape[0])
        return linear(
            x_RI, self.weight, self.bias, out=scratch.take("model.linear", shape, x_RI.dtype)
        )

    def add_to(self, residual_RO: Tensor, x_RI: Tensor, scratch: AttentionScratch) -> None:
        """Add to the residual: residual += x W^T + b, accumulated by the GEMM."""
        residual_RO.addmm_(x_RI, self.weight.t())
        if self.bias is not None:
            residual_RO.add_(self.bias)

    def gated(self, x_RI: Tensor, scratch: AttentionScratch) -> Tensor:
        """The gate silu(gate) * up, in the scratch."""
        return _gated(self.forward(x_RI, scratch), scratch)

    def plain_weight(self) -> Tensor:
        """The weight [O, I]."""
        return self.weight


class PackedProjection(nn.Module):
    """bfloat16 on a CPU with oneDNN; stacked gate and up are packed one by one."""

    bias: Tensor | None

    def __init__(
        self, weight_OI: Tensor, bias_O: Tensor | None = None, *, gated: bool = False
    ) -> None:
        super().__init__()
        parts = weight_OI.chunk(2) if gated else (weight_OI,)
        self.packs = tuple(pack(part.contiguous()) for part in parts)
        self.register_buffer("bias", bias_O)

    def bind(self, rows: int, name: str, scratch: AttentionScratch) -> Product:
        """Itself."""
        return self

    def forward(self, x_RI: Tensor, scratch: AttentionScratch) -> Tensor:
        """The product x W^T + b, a new tensor."""
        parts = [linear_packed(x_RI, weight, self.bias) for weight in self.packs]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def add_to(self, residual_RO: Tensor, x_RI: Tensor, scratch: AttentionScratch) -> None:
        """Add to the residual: residual += x W^T + b, summed before the one rounding."""
        residual_RO.copy_(linear_packed_add(x_RI, self.packs[0], self.bias, residual_RO))

    def gated(self, x_RI: Tensor, scratch: AttentionScratch) -> Tensor:
        """The gate silu(gate) * up, fused into the GEMMs."""
        return gated_packed(x_RI, *self.packs)

    def plain_weight(self) -> Tensor:
        """The weight [O, I], bit for bit the one that was packed."""
        return torch.cat([unpack(weight) for weight in self.packs])


class Int8Projection(nn.Module):
    """Weight-only int8: read as bytes for few rows, dequantised once per step for many."""

    values: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(
        self, weight: Int8Weight, bias_O: Tensor | None = None, *, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.register_buffer("values", weight.values_OI)
        self.register_buffer("scale", weight.scale_O)
        self.register_buffer("bias", bias_O)

    @property
    def weight(self) -> Int8Weight:
        """Values and scales."""
        return Int8Weight(self.values, self.scale)

    def bind(self, rows: int, name: str, scratch: AttentionScratch) -> Product:
        """Itself for few rows, else a plain projection whose weight is in the scratch."""
        reason = linear_int8_unsupported(self.weight, self.dtype)
        if reason is None and rows <= FEW_ROWS:
            return self
        if reason is not None:
            _log_once(f"int8 weights are dequantised in every step: {reason}")
        weight_OI = scratch.take(name, tuple(self.values.shape), self.dtype)
        return PlainProjection(dequantise(self.weight, out=weight_OI), self.bias)

    def forward(self, x_RI: Tensor, scratch: AttentionScratch) -> Tensor:
        """The product x W^T + b for few rows, a new tensor."""
        return linear_int8(x_RI, self.weight, self.bias)

    def add_to(self, residual_RO: Tensor, x_RI: Tensor, scratch: AttentionScratch) -> None:
        """Add to the residual: residual += x W^T + b."""
        residual_RO.add_(self.forward(x_RI, scratch))

    def gated(self, x_RI: Tensor, scratch: AttentionScratch) -> Tensor:
        """The gate silu(gate) * up."""
        return _gated(self.forward(x_RI, scratch), scratch)

    def plain_weight(self) -> Tensor:
        """The dequantised weight, float32."""
        return dequantise(self.weight, out=torch.empty(self.values.shape))


Projection = PlainProjection | PackedProjection | Int8Projection


def choose_form(dtype: torch.dtype, device: torch.device, quantization: str | None) -> Form:
    """The form of a weight of this dtype; falls back to plain where packing is not possible."""
    if quantization == "int8":
        return "int8"
    return "plain" if packing_unsupported(dtype, device) else "packed"


def make_projection(
    parts: Sequence[Tensor],
    bias_O: Tensor | None,
    *,
    form: Form,
    dtype: torch.dtype,
    device: torch.device,
    gated: bool = False,
) -> Projection:
    """Stack weights along the first axis, and convert them one by one where that saves memory.

    bias_O: in `dtype`, on `device`.
    """
    if form == "int8":
        quantised = [quantise(part.to(device)) for part in parts]
        weight = Int8Weight(*(torch.cat(pieces) for pieces in zip(*quantised, strict=True)))
        return Int8Projection(weight, bias_O, dtype=dtype)
    weight_OI = stack(parts, dtype=dtype, device=device)
    if form == "packed":
        return PackedProjection(weight_OI, bias_O, gated=gated)
    return PlainProjection(weight_OI, bias_O)


def stack(parts: Sequence[Tensor], *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A new tensor of all parts along the first axis."""
    rows = sum(part.shape[0] for part in parts)
    stacked = torch.empty((rows, *parts[0].shape[1:]), dtype=dtype, device=device)
    start = 0
    for part in parts:
        stacked[start : start + part.shape[0]].copy_(part)
        start += part.shape[0]
    return stacked


def _gated(gate_up_RF: Tensor, scratch: AttentionScratch) -> Tensor:
    shape = (gate_up_RF.shape[0], gate_up_RF.shape[1] // 2)
    return silu_mul(gate_up_RF, out=scratch.take("model.gated", shape, gate_up_RF.dtype))


@cache
def _log_once(message: str) -> None:
    logger.warning(message)
