"""From a directory or hub id to a decoder that runs: config, weights, forms of the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from longreach.config import Dtype, EngineConfig, ModelConfig
from longreach.errors import CheckpointError, InvalidRequestError
from longreach.layers.decoder_layer import MLP, Attention, DecoderLayer
from longreach.layers.embedding import Embedding
from longreach.layers.norm import RMSNorm
from longreach.layers.projection import (
    Form,
    PlainProjection,
    Projection,
    choose_form,
    make_projection,
    stack,
)
from longreach.models.checkpoint import Checkpoint, read_json, read_object
from longreach.models.decoder import Decoder
from longreach.models.hf import (
    CONFIG_FILE,
    TABLE_FILE,
    config_from_hf,
    is_redundant,
    tensor_map,
    token_ids,
)
from longreach.models.keys import Keys
from longreach.models.registry import resolve_model
from longreach.platform import default_dtype

GENERATION_FILE = "generation_config.json"


def load_model(
    model: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    quantization: str | None = None,
    device: str | torch.device = "cpu",
    strict_config: bool = False,
) -> tuple[Decoder, ModelConfig]:
    """Load a checkpoint of the Qwen2 or Qwen3 family.

    model: "needle", a directory, or the id of a model in the hub cache. Weights are copied into the
    form that runs fastest here; the embedding table stays memory-mapped where it is used as stored.
    Raises ModelError's children (each naming file and key) and InvalidRequestError.
    """
    directory = resolve_model(model)
    config = load_config(directory, strict=strict_config)
    device = torch.device(device)
    compute = resolve_dtype(dtype, device)
    checkpoint = Checkpoint(directory)
    _check_names(checkpoint, config)
    form = choose_form(compute, device, quantization)
    return _Builder(checkpoint, config, compute, device, form).decoder(), config


def load_config(directory: Path, *, strict: bool = False) -> ModelConfig:
    """Read config.json, the sparse table beside it, and generation_config.json's end tokens.

    Raises ConfigError and UnsupportedModelError.
    """
    path = directory / CONFIG_FILE
    table_path = directory / TABLE_FILE
    table = read_json(table_path) if table_path.is_file() else None
    config = config_from_hf(read_object(path), where=str(path), table=table, strict=strict)
    generation = directory / GENERATION_FILE
    if not generation.is_file():
        return config
    more = token_ids(Keys(read_object(generation), str(generation)), "eos_token_id")
    ids = tuple(dict.fromkeys(config.eos_token_ids + more))
    return replace(config, eos_token_ids=ids)


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The compute dtype; "auto" is bfloat16 where the hardware multiplies it, else float32."""
    name = str(dtype).removeprefix("torch.")
    if name not in get_args(Dtype):
        raise InvalidRequestError("dtype", dtype, f"one of {', '.join(get_args(Dtype))}")
    if name == "auto":
        return default_dtype(device)
    if name == "float16" and device.type == "cpu":
        raise InvalidRequestError(
            "dtype", "float16", "bfloat16 or float32 on a CPU, which has no fast float16"
        )
    resolved: torch.dtype = getattr(torch, name)
    return resolved


def resolve_kv_dtype(config: EngineConfig, model: ModelConfig, compute: torch.dtype) -> torch.dtype:
    """What keys and values are stored in, see `EngineConfig.kv_cache_dtype`.

    A bfloat16 checkpoint that is computed in float32 only because the CPU is faster so keeps its
    pages half as large.
    """
    if config.kv_cache_dtype != "auto":
        stored: torch.dtype = getattr(torch, config.kv_cache_dtype)
        return stored
    widened = config.dtype == "auto" and model.torch_dtype == "bfloat16"
    return torch.bfloat16 if widened else compute


def _check_names(checkpoint: Checkpoint, config: ModelConfig) -> None:
    """Every tensor is used: one left over would mean another model than config.json says."""
    used = {part.name for parts in tensor_map(config).values() for part in parts}
    for name in sorted(checkpoint.names - used):
        if not is_redundant(name, config):
            raise CheckpointError(
                f"{checkpoint.file_of(name)}: tensor {name!r} is no part of "
                f"{config.architecture} as {CONFIG_FILE} describes it"
            )


class _Builder:
    """Puts the parts list together from checkpoint tensors."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: ModelConfig,
        dtype: torch.dtype,
        device: torch.device,
        form: Form,
    ) -> None:
        self._checkpoint = checkpoint
        self._config = config
        self._map = tensor_map(config)
        self._dtype = dtype
        self._device = device
        self._form: Form = form

    def decoder(self) -> Decoder:
        config = self._config
        (table,) = self._parts("embedding.weight")
        table = table.to(self._device)
        return Decoder(
            config,
            Embedding(table),
            [self._layer(index) for index in range(config.num_layers)],
            self._norm("norm.weight"),
            self._head(table),
            dtype=self._dtype,
            device=self._device,
        )

    def _parts(self, name: str) -> list[Tensor]:
        return [self._checkpoint.get(part.name, part.shape) for part in self._map[name]]

    def _head(self, table: Tensor) -> Projection:
        """A tied head in the plain form is the table itself; other forms need their own copy."""
        if not self._config.tie_word_embeddings:
            return self._projection("head")
        if self._form == "plain" and table.dtype == self._dtype:
            return PlainProjection(table)
        return self._make([table], None, gated=False)

    def _layer(self, index: int) -> DecoderLayer:
        prefix = f"layers.{index}."
        return DecoderLayer(
            index,
            self._norm(prefix + "attention_norm.weight"),
            self._attention(prefix + "attention."),
            self._norm(prefix + "mlp_norm.weight"),
            MLP(
                self._projection(prefix + "mlp.gate_up", gated=True),
                self._projection(prefix + "mlp.down"),
            ),
        )

    def _attention(self, prefix: str) -> Attention:
        config = self._config
        norms = [self._norm(f"{prefix}{x}_norm.weight") if config.qk_norm else None for x in "qk"]
        return Attention(
            self._projection(prefix + "qkv"),
            self._projection(prefix + "o"),
            *norms,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
        )

    def _norm(self, name: str) -> RMSNorm:
        (weight,) = self._parts(name)
        return RMSNorm(weight.to(self._device, torch.float32, copy=True), self._config.rms_norm_eps)

    def _projection(self, name: str, *, gated: bool = False) -> Projection:
        bias = None
        if f"{name}.bias" in self._map:
            bias = stack(self._parts(f"{name}.bias"), dtype=self._dtype, device=self._device)
        return self._make(self._parts(f"{name}.weight"), bias, gated=gated)

    def _make(self, parts: list[Tensor], bias: Tensor | None, *, gated: bool) -> Projection:
        return make_projection(
            parts, bias, form=self._form, dtype=self._dtype, device=self._device, gated=gated
        )
