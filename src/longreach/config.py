"""Frozen dataclasses of everything that can be set: the model, its attention, the engine.

A default is written here once; flags and keyword arguments read it from the field. Each class
checks itself at construction, so an object that exists is valid. Values that come from a checkpoint
raise `ConfigError` (a `ModelError`), values that come from a user raise `InvalidRequestError` (a
`ValueError`). Nothing here knows a Hugging Face name: `models/hf/` translates.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from longreach.errors import ConfigError, InvalidRequestError

Family = Literal["qwen2", "qwen3"]
RopeType = Literal["default", "linear", "dynamic", "yarn"]
SparseMode = Literal["off", "fixed", "adaptive"]
TemperatureMode = Literal["position", "length", "off"]
Dtype = Literal["auto", "bfloat16", "float32", "float16"]
CacheDtype = Literal["auto", "bfloat16", "float32"]
Quantization = Literal["int8"]

MOST_SPECULATIVE_TOKENS = 127
DENSE_SLICE_TOKENS = 4096
SEED_LIMIT = 2**63


def _require(condition: bool, key: str, value: object, expected: str) -> None:
    if not condition:
        raise ConfigError(f"{key} is {value!r}: expected {expected}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _require_int(owner: object, name: str, minimum: int) -> None:
    value = getattr(owner, name)
    _require(_is_int(value) and value >= minimum, name, value, f"an integer of at least {minimum}")


def _check_user(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise InvalidRequestError(name, value, expected)


@dataclass(frozen=True, kw_only=True)
class DualChunkConfig:
    """Dual chunk attention (arXiv 2402.17463; Qwen2.5-1M report, section 3).

    `original_max_position_embeddings` is the trained length T0 of the attention temperature; 0
    switches the temperature off. `cap` limits the query position; None means chunk_size, as Qwen
    serves (the paper uses chunk_size - 1).
    """

    chunk_size: int = 8192
    local_size: int = 1024
    original_max_position_embeddings: int = 0
    cap: int | None = None

    def __post_init__(self) -> None:
        _require_int(self, "chunk_size", 2)
        _require_int(self, "local_size", 0)
        _require_int(self, "original_max_position_embeddings", 0)
        _require(
            self.chunk_size - self.local_size >= 1,
            "local_size",
            self.local_size,
            f"less than chunk_size ({self.chunk_size})",
        )
        if self.cap is not None:
            _require_int(self, "cap", 1)
            _require(
                self.chunk_len - 1 <= self.cap <= self.chunk_size,
                "cap",
                self.cap,
                f"between chunk_len - 1 ({self.chunk_len - 1}) and chunk_size ({self.chunk_size})",
            )

    @property
    def chunk_len(self) -> int:
        """Keys are rotated at their position modulo this."""
        return self.chunk_size - self.local_size

    @property
    def query_cap(self) -> int:
        """The largest position any query is rotated to."""
        return self.chunk_size if self.cap is None else self.cap


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary embedding. Scaled types need `factor`; dynamic and yarn the trained length.

    `original_max_position_embeddings` is the length the base was trained for: for dynamic the
    length from which the base grows. The fields from beta_fast on are yarn's (arXiv 2309.00071).
    """

    type: RopeType = "default"
    theta: float = 10000.0
    factor: float = 1.0
    original_max_position_embeddings: int = 0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        _require(self.type in get_args(RopeType), "rope type", self.type, str(get_args(RopeType)))
        _require(_is_real(self.theta) and self.theta > 1, "rope_theta", self.theta, "more than 1")
        _require(_is_real(self.factor) and self.factor >= 1, "factor", self.factor, "at least 1")
        _require_int(self, "original_max_position_embeddings", 0)
        if self.type in ("dynamic", "yarn"):
            _require_int(self, "original_max_position_embeddings", 1)
        for name in ("beta_fast", "beta_slow", "mscale", "mscale_all_dim", "attention_factor"):
            value = getattr(self, name)
            allowed_none = value is None and not name.startswith("beta")
            positive = _is_real(value) and value > 0
            _require(allowed_none or positive, name, value, "a positive number")
        _require(isinstance(self.truncate, bool), "truncate", self.truncate, "true or false")


@dataclass(frozen=True, kw_only=True)
class HeadBudget:
    """What one head keeps: columns (verticals) and diagonals (slashes), forced ones included."""

    vertical_size: int
    slash_size: int

    def __post_init__(self) -> None:
        _require_int(self, "vertical_size", 0)
        _require_int(self, "slash_size", 0)


@dataclass(frozen=True, kw_only=True)
class SparseTable:
    """Per layer and query head budgets of the `fixed` mode (sparse_attention_config.json).

    `last_q` rows of a segment choose its pattern. `threshold` is what the checkpoint says of the
    length from which prompts are sparse; `SparsePolicy.min_tokens` decides.
    """

    heads: tuple[tuple[HeadBudget, ...], ...]
    threshold: int = 32768
    last_q: int = 64

    def __post_init__(self) -> None:
        _require(len(self.heads) > 0, "sparse_attention_config", self.heads, "one entry per layer")
        widths = sorted({len(layer) for layer in self.heads})
        _require(
            len(widths) == 1, "sparse_attention_config", widths, "as many heads in every layer"
        )
        _require_int(self, "threshold", 0)
        _require_int(self, "last_q", 1)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One decoder of the Qwen family. `raw` is the whole config.json it was read from."""

    architecture: str
    family: Family
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rope: RopeConfig
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    dual_chunk: DualChunkConfig | None = None
    sparse_table: SparseTable | None = None
    torch_dtype: str = "bfloat16"
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require(self.family in get_args(Family), "family", self.family, str(get_args(Family)))
        for name in (
            "hidden_size",
            "intermediate_size",
            "num_layers",
            "num_heads",
            "num_kv_heads",
            "head_dim",
            "vocab_size",
            "max_position_embeddings",
        ):
            _require_int(self, name, 1)
        self._check_heads()
        _require(
            _is_real(self.rms_norm_eps) and self.rms_norm_eps > 0,
            "rms_norm_eps",
            self.rms_norm_eps,
            "a positive number",
        )
        if self.sparse_table is not None:
            self._check_table(self.sparse_table)

    def _check_heads(self) -> None:
        _require(
            self.num_heads % self.num_kv_heads == 0,
            "num_kv_heads",
            self.num_kv_heads,
            f"a divisor of num_heads ({self.num_heads})",
        )
        _require(self.head_dim % 2 == 0, "head_dim", self.head_dim, "an even number")

    def _check_table(self, table: SparseTable) -> None:
        shape = (len(table.heads), len(table.heads[0]))
        _require(
            shape == (self.num_layers, self.num_heads),
            "sparse_attention_config",
            f"{shape[0]} layers x {shape[1]} heads",
            f"{self.num_layers} layers x {self.num_heads} heads",
        )

    @property
    def group_size(self) -> int:
        """Query heads that share one kv head."""
        return self.num_heads // self.num_kv_heads

    @property
    def kv_values_per_token(self) -> int:
        """Numbers the KV cache holds for one token, all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim


@dataclass(frozen=True, kw_only=True)
class SparsePolicy:
    """How long prompts are read.

    `recall` is the softmax mass `adaptive` must keep for every head; at 1.0 and above everything is
    kept. Prompts of up to `min_tokens` stay dense (0: all sparse). `budget`, (columns, diagonals),
    replaces the target.
    """

    mode: SparseMode = "adaptive"
    recall: float = 0.95
    min_tokens: int = 32768
    budget: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        modes = get_args(SparseMode)
        _check_user(self.mode in modes, "sparse", self.mode, f"one of {', '.join(modes)}")
        _check_user(
            _is_real(self.recall) and self.recall > 0,
            "sparse_recall",
            self.recall,
            "a number above 0 (1.0 and more: the full budget)",
        )
        _check_user(
            _is_int(self.min_tokens) and self.min_tokens >= 0,
            "sparse_min_tokens",
            self.min_tokens,
            "an integer of at least 0",
        )
        if self.budget is not None:
            self._check_budget(self.budget)

    def is_dense(self, num_prompt_tokens: int) -> bool:
        """Whether a prompt of this length attends to everything."""
        keeps_all = self.mode == "adaptive" and self.budget is None and self.recall >= 1.0
        return self.mode == "off" or keeps_all or num_prompt_tokens <= self.min_tokens

    def _check_budget(self, budget: tuple[int, int]) -> None:
        pair = isinstance(budget, tuple) and len(budget) == 2
        valid = pair and all(_is_int(size) and size >= 0 for size in budget)
        _check_user(valid, "sparse_budget", budget, "(columns, diagonals), integers of at least 0")
        _check_user(
            self.mode == "adaptive",
            "sparse_budget",
            budget,
            f"no budget with sparse={self.mode!r}: it replaces the target of 'adaptive'",
        )


def default_cache_directory() -> Path:
    """$LONGREACH_CACHE, or ~/.cache/longreach."""
    named = os.environ.get("LONGREACH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "longreach"


@dataclass(frozen=True, kw_only=True)
class DiskCacheConfig:
    """Where pages of prompts that were read outlive the process.

    directory: of all models; several processes may share it. max_bytes: of all files in it. ttl_s:
    seconds after its last use that a prefix is removed, None: never.
    """

    directory: Path = field(default_factory=default_cache_directory)
    max_bytes: int = 20 * 2**30
    ttl_s: float | None = 7 * 24 * 3600.0

    def __post_init__(self) -> None:
        _check_user(isinstance(self.directory, Path), "cache_dir", self.directory, "a pathlib.Path")
        _check_user(
            _is_int(self.max_bytes) and self.max_bytes > 0,
            "cache_size",
            self.max_bytes,
            "a number of bytes above 0",
        )
        timed = self.ttl_s is None or (_is_real(self.ttl_s) and self.ttl_s > 0)
        _check_user(timed, "cache_ttl", self.ttl_s, "seconds above 0, or None")


def as_disk_cache(value: DiskCacheConfig | Path | str | bool | None) -> DiskCacheConfig | None:
    """The spellings of `disk_cache`: None or False: off; True: the defaults; or a directory."""
    if value is None or value is False:
        return None
    if isinstance(value, DiskCacheConfig):
        return value
    named = value is True or isinstance(value, str | os.PathLike)
    _check_user(named, "disk_cache", value, "True, False, a directory or a DiskCacheConfig")
    return DiskCacheConfig() if value is True else DiskCacheConfig(directory=Path(value))


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How a model is run. Sizes are tokens unless said otherwise.

    `max_num_batched_tokens` bounds one step while other requests wait; a prompt that is alone is
    cut into slices of `lone_slice_tokens`, or of DENSE_SLICE_TOKENS where no pattern is chosen for
    a slice: there long ones only take memory, and time to be stopped. `kv_cache_dtype` "auto" is
    the dtype that is computed in, but bfloat16 where `dtype` "auto" computes a bfloat16 checkpoint
    in float32.
    `max_inter_token_ms`: while answers are written, a step takes in only so much of a prompt as
    keeps the time between two tokens near it, going by the steps measured so far.
    `disk_cache`: None keeps what was read in memory alone.
    `num_speculative_tokens`: most tokens of an answer that are guessed from what stands before and
    checked in one step, while a request is alone; 0 guesses none. Answers are the same.
    """

    dtype: Dtype = "auto"
    kv_cache_dtype: CacheDtype = "auto"
    quantization: Quantization | None = None
    max_model_len: int | Literal["auto"] = "auto"
    sparse: SparsePolicy = field(default_factory=SparsePolicy)
    max_num_batched_tokens: int = 2048
    lone_slice_tokens: int = 32768
    max_num_seqs: int = 16
    page_size: int = 128
    enable_prefix_caching: bool = True
    temperature_mode: TemperatureMode = "position"
    strict_config: bool = False
    seed: int | None = None
    max_inter_token_ms: float | None = None
    disk_cache: DiskCacheConfig | None = None
    num_speculative_tokens: int = 15

    def __post_init__(self) -> None:
        self._check_choice("dtype", get_args(Dtype))
        self._check_choice("kv_cache_dtype", get_args(CacheDtype))
        self._check_choice("temperature_mode", get_args(TemperatureMode))
        if self.quantization is not None:
            self._check_choice("quantization", get_args(Quantization))
        if self.max_model_len != "auto":
            self._check_positive("max_model_len")
        for name in ("max_num_batched_tokens", "lone_slice_tokens", "max_num_seqs", "page_size"):
            self._check_positive(name)
        for name in ("enable_prefix_caching", "strict_config"):
            value = getattr(self, name)
            _check_user(isinstance(value, bool), name, value, "True or False")
        seeded = self.seed is None or (_is_int(self.seed) and 0 <= self.seed < SEED_LIMIT)
        _check_user(seeded, "seed", self.seed, f"None or an integer in [0, {SEED_LIMIT})")
        budget = self.max_inter_token_ms
        timed = budget is None or (_is_real(budget) and budget > 0)
        _check_user(timed, "max_inter_token_ms", budget, "None or a number above 0")
        count, most = self.num_speculative_tokens, MOST_SPECULATIVE_TOKENS
        few = _is_int(count) and 0 <= count <= most
        _check_user(few, "num_speculative_tokens", count, f"an integer in [0, {most}]")

    @property
    def dense_slice_tokens(self) -> int:
        """Rows of one slice of a prompt that is alone and read densely."""
        return max(self.max_num_batched_tokens, min(self.lone_slice_tokens, DENSE_SLICE_TOKENS))

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        _check_user(value in choices, name, value, f"one of {', '.join(choices)}")

    def _check_positive(self, name: str) -> None:
        value = getattr(self, name)
        _check_user(_is_int(value) and value >= 1, name, value, "an integer of at least 1")
