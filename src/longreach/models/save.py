"""From a decoder back to a Hugging Face checkpoint: the inverse of the loader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from longreach.errors import UnsupportedModelError
from longreach.layers.norm import RMSNorm
from longreach.layers.projection import Int8Projection
from longreach.models.decoder import Decoder
from longreach.models.hf import CONFIG_FILE, TABLE_FILE, config_to_hf, table_to_hf, tensor_map

WEIGHTS_FILE = "model.safetensors"


def save_pretrained(decoder: Decoder, directory: Path) -> None:
    """Write config.json and model.safetensors, which the loader and transformers read.

    Raises UnsupportedModelError for int8 weights, whose originals are gone.
    """
    tensors = export_tensors(decoder)
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    _write_json(directory / CONFIG_FILE, export_config(decoder))
    table = table_to_hf(decoder.config.sparse_table)
    if table is not None:
        _write_json(directory / TABLE_FILE, table)


def _write_json(path: Path, values: object) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def export_config(decoder: Decoder) -> dict[str, Any]:
    """The config.json of the decoder as it is held: its dtype is the one it computes in."""
    dtype = str(decoder.dtype).removeprefix("torch.")
    return config_to_hf(replace(decoder.config, torch_dtype=dtype))


def export_tensors(decoder: Decoder) -> dict[str, Tensor]:
    """Every tensor under its Hugging Face name, in the decoder's dtype."""
    ours = dict(_held(decoder))
    tensors = {}
    for name, parts in tensor_map(decoder.config).items():
        pieces = ours[name].to(decoder.dtype).split([part.shape[0] for part in parts])
        for part, piece in zip(parts, pieces, strict=True):
            tensors[part.name] = piece.clone(memory_format=torch.contiguous_format)
    return tensors


def _held(decoder: Decoder) -> Iterator[tuple[str, Tensor]]:
    yield "embedding.weight", decoder.embedding.weight
    for name, module in decoder.named_modules():
        if isinstance(module, RMSNorm):
            yield f"{name}.weight", module.weight
        elif isinstance(module, Int8Projection):
            raise UnsupportedModelError(
                f"{name}: int8 weights cannot be saved as the checkpoint they came from; "
                f"load the model without quantization"
            )
        elif hasattr(module, "plain_weight"):
            yield f"{name}.weight", module.plain_weight()
            if module.bias is not None:
                yield f"{name}.bias", module.bias
