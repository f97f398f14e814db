"""ModelConfig -> config.json of Hugging Face."""

from __future__ import annotations

from typing import Any

from longreach.config import ModelConfig, RopeConfig, SparseTable
from longreach.models.hf.config import config_from_hf

DEFAULT_LIMITS = (SparseTable.threshold, SparseTable.last_q)


def config_to_hf(config: ModelConfig) -> dict[str, Any]:
    """The config.json of `config`.

    Keys and spellings of the file it was read from are kept; a field changed since is written. End
    tokens that generation_config.json added stay there, and the table of `table_to_hf` in its file.
    A config that came from no file is written in full, in the spelling every reader knows.
    """
    written = _canonical(config)
    if not config.raw:
        return written
    source = config_from_hf(config.raw, table=table_to_hf(config.sparse_table))
    before = _canonical(source)
    changed = {key: value for key, value in written.items() if before.get(key) != value}
    kept = dict(config.raw)
    if written.get("dual_chunk_attention_config") is None and source.dual_chunk is not None:
        del kept["dual_chunk_attention_config"]
    if config.eos_token_ids[: len(source.eos_token_ids)] == source.eos_token_ids:
        changed.pop("eos_token_id", None)
    if {"rope_theta", "rope_scaling"} & set(changed) and "rope_parameters" in kept:
        changed |= {key: written[key] for key in ("rope_theta", "rope_scaling")}
        del kept["rope_parameters"]
    if "torch_dtype" in changed and "dtype" in kept:
        changed["dtype"] = changed.pop("torch_dtype")
    return {**kept, **changed}


def _canonical(config: ModelConfig) -> dict[str, Any]:
    values = {
        "architectures": [config.architecture],
        "model_type": config.family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "tie_word_embeddings": config.tie_word_embeddings,
        "rope_theta": config.rope.theta,
        "rope_scaling": _rope_to_hf(config.rope),
        "torch_dtype": config.torch_dtype,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": _one_or_list(config.eos_token_ids),
        "use_sliding_window": False,
    }
    if config.family == "qwen3":
        values["attention_bias"] = config.qkv_bias
    if config.dual_chunk is not None:
        values["dual_chunk_attention_config"] = _dual_chunk_to_hf(config)
    return values


def _one_or_list(ids: tuple[int, ...]) -> int | list[int] | None:
    return None if not ids else ids[0] if len(ids) == 1 else list(ids)


def _rope_to_hf(rope: RopeConfig) -> dict[str, Any] | None:
    if rope.type == "default":
        return None
    values: dict[str, Any] = {"rope_type": rope.type, "type": rope.type, "factor": rope.factor}
    if rope.type == "yarn":
        values["original_max_position_embeddings"] = rope.original_max_position_embeddings
        for name in ("beta_fast", "beta_slow", "mscale", "mscale_all_dim", "attention_factor"):
            if getattr(rope, name) is not None:
                values[name] = getattr(rope, name)
        values["truncate"] = rope.truncate
    return values


def _dual_chunk_to_hf(config: ModelConfig) -> dict[str, Any]:
    dual = config.dual_chunk
    assert dual is not None
    values: dict[str, Any] = {
        "chunk_size": dual.chunk_size,
        "local_size": dual.local_size,
        "original_max_position_embeddings": dual.original_max_position_embeddings,
    }
    if dual.cap is not None:
        values["cap"] = dual.cap
    table = config.sparse_table
    if table is not None and (table.threshold, table.last_q) != DEFAULT_LIMITS:
        values["sparse_attention_threshold"] = table.threshold
        values["sparse_attention_last_q"] = table.last_q
    return values


def table_to_hf(table: SparseTable | None) -> list[dict[str, list[Any]]] | None:
    """The content of sparse_attention_config.json."""
    if table is None:
        return None
    return [
        {
            str(head): ["vertical_and_slash", budget.vertical_size, budget.slash_size, 1]
            for head, budget in enumerate(layer)
        }
        for layer in table.heads
    ]
