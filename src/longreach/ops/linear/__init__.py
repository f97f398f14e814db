"""x W^T + b: plain, with weights packed for the CPU, and with int8 weights."""

from longreach.ops.linear.int8 import (
    Int8Weight,
    dequantise,
    linear_int8,
    linear_int8_unsupported,
    quantise,
)
from longreach.ops.linear.packed import (
    gated_packed,
    linear_packed,
    linear_packed_add,
    pack,
    packing_unsupported,
    unpack,
)
from longreach.ops.linear.plain import linear

__all__ = [
    "Int8Weight",
    "dequantise",
    "gated_packed",
    "linear",
    "linear_int8",
    "linear_int8_unsupported",
    "linear_packed",
    "linear_packed_add",
    "pack",
    "packing_unsupported",
    "quantise",
    "unpack",
]
