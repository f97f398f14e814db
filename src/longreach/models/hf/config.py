"""config.json of Hugging Face -> ModelConfig.

A config key is *read* (obeyed), *inert* (known, no effect on inference) or *unknown*: one warning
names it, or ConfigError is raised in strict mode. An unsupported value of a read key is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from longreach.config import (
    DualChunkConfig,
    Family,
    HeadBudget,
    ModelConfig,
    RopeConfig,
    RopeType,
    SparseTable,
)
from longreach.errors import ConfigError, UnsupportedModelError
from longreach.models.keys import Keys

CONFIG_FILE = "config.json"
TABLE_FILE = "sparse_attention_config.json"

ARCHITECTURES: dict[str, Family] = {"Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}
ROPE_TYPES = get_args(RopeType)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


READ = _words(
    """architectures model_type vocab_size hidden_size intermediate_size num_hidden_layers
    num_attention_heads num_key_value_heads head_dim hidden_act max_position_embeddings rms_norm_eps
    tie_word_embeddings rope_theta rope_scaling rope_parameters partial_rotary_factor
    use_sliding_window sliding_window max_window_layers layer_types attention_bias
    dual_chunk_attention_config quantization_config torch_dtype dtype bos_token_id
    eos_token_id"""
)
# Training, bookkeeping and output switches. auto_map names remote code, which is never run.
INERT = _words(
    """_name_or_path _attn_implementation attn_implementation attention_dropout auto_map
    chunk_size_feed_forward id2label initializer_range is_decoder is_encoder_decoder label2id
    output_attentions output_hidden_states pad_token_id problem_type return_dict torchscript
    transformers_version use_cache use_mrope"""
)
READ_ROPE = _words(
    """type rope_type rope_theta factor original_max_position_embeddings beta_fast beta_slow mscale
    mscale_all_dim attention_factor truncate partial_rotary_factor"""
)
READ_DUAL_CHUNK = _words(
    """chunk_size local_size original_max_position_embeddings sparse_attention_config
    sparse_attention_threshold sparse_attention_last_q cap"""
)
# Whether a prompt is read sparsely is the engine's option `sparse`, not the checkpoint's.
INERT_DUAL_CHUNK = frozenset({"sparse_attention_enabled"})


def config_from_hf(
    raw: Mapping[str, Any],
    *,
    where: str = CONFIG_FILE,
    table: object = None,
    strict: bool = False,
) -> ModelConfig:
    """Read config.json (already parsed).

    table: the parsed sparse_attention_config.json that lies beside it, if any; otherwise the key
    `sparse_attention_config` inside dual_chunk_attention_config is used.
    Raises ConfigError (bad value, unknown key in strict mode) and UnsupportedModelError.
    """
    keys = Keys(raw, where)
    architecture = _architecture(keys)
    family = ARCHITECTURES[architecture]
    keys.check_known(READ | INERT, strict=strict)
    _refuse_unsupported(keys)
    num_heads = keys.integer("num_attention_heads", minimum=1)
    hidden_size = keys.integer("hidden_size", minimum=1)
    # The families differ where config.json leaves these out.
    head_dim = keys.integer(
        "head_dim", 128 if family == "qwen3" else hidden_size // num_heads, minimum=1
    )
    bias = keys.flag("attention_bias", default=False) if family == "qwen3" else True
    try:
        return ModelConfig(
            architecture=architecture,
            family=family,
            hidden_size=hidden_size,
            intermediate_size=keys.integer("intermediate_size", minimum=1),
            num_layers=keys.integer("num_hidden_layers", minimum=1),
            num_heads=num_heads,
            num_kv_heads=keys.integer("num_key_value_heads", num_heads, minimum=1),
            head_dim=head_dim,
            vocab_size=keys.integer("vocab_size", minimum=1),
            max_position_embeddings=keys.integer("max_position_embeddings", 32768, minimum=1),
            rope=_rope(keys, strict=strict),
            rms_norm_eps=keys.number("rms_norm_eps", 1e-6),
            tie_word_embeddings=keys.flag("tie_word_embeddings", default=False),
            qkv_bias=bias,
            o_bias=bias and family == "qwen3",
            qk_norm=family == "qwen3",
            dual_chunk=_dual_chunk(keys, strict=strict),
            sparse_table=_sparse_table(keys, table, where),
            torch_dtype=_dtype(keys),
            bos_token_id=_bos(keys),
            eos_token_ids=token_ids(keys, "eos_token_id"),
            raw=raw,
        )
    except ConfigError as error:
        raise ConfigError(_prefixed(where, error)) from error


def _prefixed(where: str, error: ConfigError) -> str:
    text = str(error)
    return text if text.startswith(where) else f"{where}: {text}"


def _architecture(keys: Keys) -> str:
    names = keys.raw("architectures")
    if not isinstance(names, list) or not names:
        raise keys.error("architectures", names, f"one of {', '.join(ARCHITECTURES)}")
    name = str(names[0])
    if name not in ARCHITECTURES:
        raise keys.unsupported("architectures", name, f"known are {', '.join(ARCHITECTURES)}")
    return name


def _refuse_unsupported(keys: Keys) -> None:
    act = keys.raw("hidden_act")
    if act not in (None, "silu", "swish"):
        raise keys.unsupported("hidden_act", act, "only silu is")
    quantised = keys.raw("quantization_config")
    if quantised is not None:
        advice = 'load the bf16 checkpoint, with quantization="int8" if memory is short'
        raise keys.unsupported("quantization_config", quantised, advice)
    for reader in (keys, keys.sub("rope_scaling"), keys.sub("rope_parameters")):
        share = reader.raw("partial_rotary_factor")
        if share not in (None, 1, 1.0):
            raise reader.unsupported("partial_rotary_factor", share, "only 1.0 is")
    _refuse_windows(keys)


def _refuse_windows(keys: Keys) -> None:
    """Sliding windows are refused where a layer and a length exist that they would change."""
    kinds = keys.raw("layer_types")
    if not isinstance(kinds, list | None):
        raise keys.error("layer_types", kinds, "a list")
    other = sorted({str(kind) for kind in kinds or ()} - {"full_attention", "sliding_attention"})
    if other:
        raise keys.unsupported("layer_types", other[0], "only full_attention is")
    if not keys.flag("use_sliding_window", default=False):
        return
    window = keys.raw("sliding_window")
    first = keys.integer("max_window_layers", 28)
    num_layers = keys.integer("num_hidden_layers", minimum=1)
    affected = "sliding_attention" in kinds if kinds is not None else first < num_layers
    length = keys.integer("max_position_embeddings", 32768, minimum=1)
    if affected and isinstance(window, int) and window < length:
        advice = (
            f"layers from {first} on would see {window} tokens only; set it to false in "
            f"config.json to let every layer see the whole text (what Qwen recommends)"
        )
        raise keys.unsupported("use_sliding_window", True, advice)


def _rope(keys: Keys, *, strict: bool) -> RopeConfig:
    """Both spellings: rope_scaling/type beside rope_theta, and rope_parameters/rope_type.

    Where both stand, rope_scaling counts, as in transformers: model cards tell people to add it.
    It often leaves rope_theta to the others.
    """
    name = "rope_scaling" if keys.mapping("rope_scaling") else "rope_parameters"
    scaling = keys.sub(name)
    scaling.check_known(READ_ROPE, strict=strict)
    kind = scaling.raw("rope_type") or scaling.raw("type") or "default"
    if kind not in ROPE_TYPES:
        raise scaling.unsupported("rope_type", kind, f"known are {', '.join(ROPE_TYPES)}")
    theta = 10000.0
    for reader in (keys.sub("rope_parameters"), keys, scaling):
        theta = reader.number("rope_theta", theta)
    length = keys.integer("max_position_embeddings", 32768, minimum=1)
    trained = {
        "dynamic": length,
        "yarn": scaling.integer("original_max_position_embeddings", length, minimum=1),
    }.get(kind, scaling.integer("original_max_position_embeddings", 0))
    factor = scaling.optional_number("factor")
    if factor is None:
        factor = _default_factor(scaling, kind, length / trained if kind == "yarn" else None)
    return RopeConfig(
        type=cast("RopeType", kind),
        theta=theta,
        factor=factor,
        original_max_position_embeddings=trained,
        beta_fast=scaling.number("beta_fast", 32.0),
        beta_slow=scaling.number("beta_slow", 1.0),
        mscale=scaling.optional_number("mscale"),
        mscale_all_dim=scaling.optional_number("mscale_all_dim"),
        attention_factor=scaling.optional_number("attention_factor"),
        truncate=scaling.flag("truncate", default=True),
    )


def _default_factor(scaling: Keys, kind: str, implied: float | None) -> float:
    if kind == "default":
        return 1.0
    if implied is None:
        raise scaling.error("factor", None, f"a number (rope type {kind})")
    return implied


def _dual_chunk(keys: Keys, *, strict: bool) -> DualChunkConfig | None:
    if not keys.mapping("dual_chunk_attention_config"):
        return None
    dual = keys.sub("dual_chunk_attention_config")
    dual.check_known(READ_DUAL_CHUNK | INERT_DUAL_CHUNK, strict=strict)
    return DualChunkConfig(
        chunk_size=dual.integer("chunk_size", DualChunkConfig.chunk_size, minimum=2),
        local_size=dual.integer("local_size", DualChunkConfig.local_size),
        original_max_position_embeddings=dual.integer("original_max_position_embeddings", 0),
        cap=None if dual.raw("cap") is None else dual.integer("cap", minimum=1),
    )


def _sparse_table(keys: Keys, table: object, where: str) -> SparseTable | None:
    dual = keys.sub("dual_chunk_attention_config")
    source = f"{where}: dual_chunk_attention_config.sparse_attention_config"
    if table is not None:
        source = where.replace(CONFIG_FILE, TABLE_FILE)
    else:
        table = dual.raw("sparse_attention_config")
    if table is None:
        return None
    return SparseTable(
        heads=heads_from_table(table, source),
        threshold=dual.integer("sparse_attention_threshold", SparseTable.threshold),
        last_q=dual.integer("sparse_attention_last_q", SparseTable.last_q, minimum=1),
    )


def heads_from_table(table: object, where: str) -> tuple[tuple[HeadBudget, ...], ...]:
    """Read Qwen's table: per layer {head index: [type, vertical_size, slash_size, score]}."""
    if not isinstance(table, list) or not all(isinstance(layer, dict) for layer in table):
        raise ConfigError(f"{where}: expected a list with one object per layer")
    return tuple(_layer_heads(layer, f"{where}: layer {i}") for i, layer in enumerate(table))


def _layer_heads(layer: Mapping[str, Any], where: str) -> tuple[HeadBudget, ...]:
    wanted = [str(head) for head in range(len(layer))]
    if set(layer) != set(wanted):
        raise ConfigError(f"{where}: keys are {sorted(layer)}: expected the heads from '0' on")
    return tuple(_budget(layer[head], f"{where}, head {head}") for head in wanted)


def _budget(entry: object, where: str) -> HeadBudget:
    if not isinstance(entry, Sequence) or isinstance(entry, str) or len(entry) < 3:
        raise ConfigError(f"{where} is {entry!r}: expected [type, vertical_size, slash_size, ...]")
    if entry[0] != "vertical_and_slash":
        raise UnsupportedModelError(
            f"{where}: pattern type {entry[0]!r} is not supported: only vertical_and_slash is"
        )
    try:
        return HeadBudget(vertical_size=entry[1], slash_size=entry[2])
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _dtype(keys: Keys) -> str:
    value = keys.raw("torch_dtype") or keys.raw("dtype") or "float32"
    name = str(value).removeprefix("torch.")
    if name not in ("bfloat16", "float16", "float32"):
        raise keys.unsupported("torch_dtype", value, "known are bfloat16, float16, float32")
    return name


def _bos(keys: Keys) -> int | None:
    return None if keys.raw("bos_token_id") is None else keys.integer("bos_token_id")


def token_ids(keys: Keys, key: str) -> tuple[int, ...]:
    """One id, a list of ids or null."""
    value = keys.raw(key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if any(isinstance(v, bool) or not isinstance(v, int) or v < 0 for v in values):
        raise keys.error(key, value, "a token id or a list of them")
    return tuple(values)
