"""Inverse frequencies of the rotary embedding: default, linear, dynamic NTK and YaRN."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor


class RopeSettings(Protocol):
    """What the frequencies depend on; `config.RopeConfig` has these fields."""

    @property
    def type(self) -> str: ...
    @property
    def theta(self) -> float: ...
    @property
    def factor(self) -> float: ...
    @property
    def original_max_position_embeddings(self) -> int: ...
    @property
    def beta_fast(self) -> float: ...
    @property
    def beta_slow(self) -> float: ...
    @property
    def mscale(self) -> float | None: ...
    @property
    def mscale_all_dim(self) -> float | None: ...
    @property
    def attention_factor(self) -> float | None: ...
    @property
    def truncate(self) -> bool: ...


def inverse_frequencies(
    rope: RopeSettings, head_dim: int, seq_len: int | None = None
) -> tuple[Tensor, float]:
    """Inverse frequencies (float64, [head_dim // 2]) and the attention factor.

    seq_len matters for the dynamic type only: the length its base is stretched for, fixed per
    request. The attention factor multiplies cos and sin of queries and keys in the literature; here
    its square belongs into the softmax scale, so that keys stay unscaled.
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"head_dim is {head_dim}: expected an even number of at least 2")
    if rope.type == "default":
        return _powers(rope.theta, head_dim), 1.0
    if rope.type == "linear":
        return _powers(rope.theta, head_dim) / rope.factor, 1.0
    if rope.type == "dynamic":
        return _powers(_dynamic_base(rope, head_dim, seq_len), head_dim), 1.0
    if rope.type == "yarn":
        return _yarn(rope, head_dim), _yarn_attention_factor(rope)
    raise ValueError(f"rope type is {rope.type!r}: expected default, linear, dynamic or yarn")


def _powers(base: float, head_dim: int) -> Tensor:
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
    return torch.as_tensor(base, dtype=torch.float64) ** -exponent


def _dynamic_base(rope: RopeSettings, head_dim: int, seq_len: int | None) -> float:
    """NTK-aware base: theta (s n / n0 - (s - 1))^(H / (H - 2)) past the trained length n0."""
    trained = rope.original_max_position_embeddings
    length = max(seq_len or trained, trained)
    if head_dim == 2 or length == trained:
        return rope.theta
    stretch = rope.factor * length / trained - (rope.factor - 1)
    return rope.theta * stretch ** (head_dim / (head_dim - 2))


def _yarn(rope: RopeSettings, head_dim: int) -> Tensor:
    """NTK-by-parts (arXiv 2309.00071, 3.2): fast dimensions kept, slow ones interpolated."""
    kept = _powers(rope.theta, head_dim)
    low, high = _yarn_bounds(rope, head_dim)
    index = torch.arange(head_dim // 2, dtype=torch.float64)
    ramp = ((index - low) / (high - low)).clamp(0, 1)
    return kept / rope.factor * ramp + kept * (1 - ramp)


def _yarn_bounds(rope: RopeSettings, head_dim: int) -> tuple[float, float]:
    """Dimensions that turn beta_fast and beta_slow times within the trained length."""

    def dimension(rotations: float) -> float:
        turns = rope.original_max_position_embeddings / (rotations * 2 * math.pi)
        return head_dim * math.log(turns) / (2 * math.log(rope.theta))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    return low, high + 0.001 if high == low else high


def _yarn_attention_factor(rope: RopeSettings) -> float:
    if rope.attention_factor is not None:
        return float(rope.attention_factor)
    if rope.mscale and rope.mscale_all_dim:
        return _mscale(rope.factor, rope.mscale) / _mscale(rope.factor, rope.mscale_all_dim)
    return _mscale(rope.factor, 1.0)


def _mscale(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0
