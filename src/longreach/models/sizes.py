"""Bytes a model takes, from its config alone: for the memory plan, before anything is loaded."""

from __future__ import annotations

import math

import torch

from longreach.config import ModelConfig
from longreach.layers.decoder_layer import PIECE_ROWS
from longreach.layers.projection import Form, choose_form
from longreach.models.hf import Part, tensor_map

FLOAT32_BYTES = 4


def num_parameters(config: ModelConfig) -> int:
    """Weights of the checkpoint; a tied head counts once."""
    return sum(math.prod(part.shape) for parts in tensor_map(config).values() for part in parts)


def weight_bytes(
    config: ModelConfig,
    dtype: torch.dtype,
    quantization: str | None = None,
    device: torch.device | str = "cpu",
) -> int:
    """Memory of the loaded weights. The embedding table counts whole, though it may be mapped.

    A tied head is a second copy, except in the plain form of the checkpoint's own dtype.
    """
    form = choose_form(dtype, torch.device(device), quantization)
    stored: torch.dtype = getattr(torch, config.torch_dtype)
    tensors = tensor_map(config)
    total = 0
    for name, parts in tensors.items():
        numel = sum(math.prod(part.shape) for part in parts)
        if name == "embedding.weight":
            total += numel * stored.itemsize
        elif name.endswith("norm.weight"):
            total += numel * FLOAT32_BYTES
        elif name.endswith(".bias"):
            total += numel * dtype.itemsize
        else:
            total += _projection_bytes(parts, dtype, form)
    if config.tie_word_embeddings and not (form == "plain" and stored == dtype):
        total += _projection_bytes(tensors["embedding.weight"], dtype, form)
    return total


def _projection_bytes(parts: tuple[Part, ...], dtype: torch.dtype, form: Form) -> int:
    numel = sum(math.prod(part.shape) for part in parts)
    if form == "int8":
        return numel + sum(part.shape[0] for part in parts) * FLOAT32_BYTES
    return numel * dtype.itemsize


def activation_bytes(
    config: ModelConfig,
    dtype: torch.dtype,
    rows: int,
    quantization: str | None = None,
) -> int:
    """Buffers of one step of `rows` rows in the layers; attention's own tiles and logits apart.

    Whole step: residual stream, queries, attention output. Per piece of 1024 rows: norm, fused QKV
    or gate-up, activation. int8: one layer's weights, dequantised.
    """
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    whole = config.hidden_size + 2 * queries
    wide = max(2 * config.intermediate_size, queries + 2 * keys)
    piece = config.hidden_size + wide + config.intermediate_size + 3 * keys
    values = rows * whole + min(rows, PIECE_ROWS) * piece
    if quantization == "int8":
        values += config.hidden_size * (2 * queries + 2 * keys + 3 * config.intermediate_size)
    return values * dtype.itemsize
