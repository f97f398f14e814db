"""From the name of a model to an engine: load, plan the memory, reserve the pages.

resolve_model -> load_model -> Footprint -> MemoryPlan -> KVPool -> Engine
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from longreach.cache import ExtentStore, KVCache, KVPool, fingerprint, layout_of
from longreach.cache.disk.file_digests import FileDigests
from longreach.config import EngineConfig, ModelConfig
from longreach.engine.admission import Admission
from longreach.engine.engine import Engine
from longreach.engine.memory import (
    Footprint,
    MemoryPlan,
    fit_context,
    plannable_bytes,
)
from longreach.engine.positions import Positions
from longreach.engine.runner import Runner
from longreach.errors import ConfigError, InvalidRequestError, MemoryPlanError
from longreach.models.decoder import Decoder
from longreach.models.loader import load_model, resolve_kv_dtype
from longreach.models.registry import resolve_model
from longreach.models.sizes import weight_bytes
from longreach.platform import keep_freed_memory, resident_bytes
from longreach.text import Tokenizer

logger = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
KEPT_KERNELS = 64
TYPICAL_TOKENS = 8192
"""What each of max_num_seqs requests gets in the pool, where there is memory for it."""


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What a caller changes of the checkpoint's own settings.

    dual_chunk_attention: False runs the model with plain rotary positions and no temperature.
    cap: limit of query positions, see DualChunkConfig. num_kv_tokens: size of the page pool.
    """

    dual_chunk_attention: Literal["auto"] | bool = "auto"
    cap: int | None = None
    num_kv_tokens: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        wanted, size = self.dual_chunk_attention, self.num_kv_tokens
        if wanted != "auto" and not isinstance(wanted, bool):
            raise InvalidRequestError("dual_chunk_attention", wanted, '"auto", True or False')
        if size != "auto" and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise InvalidRequestError("num_kv_tokens", size, '"auto" or an integer of at least 1')


def build_engine(
    name: str | Path, config: EngineConfig, overrides: Overrides, *, device: torch.device
) -> Engine:
    """Load a model and make everything ready to run it.

    Raises the ModelError family, InvalidRequestError for settings that the model cannot obey, and
    MemoryPlanError where not even one page fits (or max_model_len does not).
    """
    bound_kernel_caches()
    keep_freed_memory()
    runtime = resident_bytes() if device.type == "cpu" else 0
    folder = resolve_model(name)
    decoder, loaded = load_model(
        folder,
        dtype=config.dtype,
        quantization=config.quantization,
        device=device,
        strict_config=config.strict_config,
    )
    model = override_model(loaded, overrides)
    check_sparse(model, config)
    footprint = Footprint(
        model=model,
        engine=config,
        dtype=decoder.dtype,
        kv_dtype=resolve_kv_dtype(config, model, decoder.dtype),
        weight_bytes=weight_bytes(model, decoder.dtype, config.quantization, device),
        runtime_bytes=runtime,
    )
    plan, max_model_len = plan_engine(footprint, overrides, plannable_bytes(device))
    num_tokens = plan.kv_cache // footprint.kv_bytes_per_token
    cache = make_cache(footprint, decoder, num_tokens, folder, str(name))
    positions = Positions(model=model, temperature_mode=config.temperature_mode, device=device)
    tokenizer = load_tokenizer(folder)
    return Engine(
        model=model,
        config=config,
        runner=Runner(decoder, cache, positions, device),
        admission=Admission(model, config, tokenizer, positions, max_model_len),
        tokenizer=tokenizer,
        plan=plan,
        footprint=footprint,
        folder=folder,
    )


def bound_kernel_caches() -> None:
    """Let oneDNN keep few compiled kernels, unless the user says how many.

    It compiles one per shape, and sparse patterns bring ever new shapes: at its default of 1024 in
    each of two caches they grew past 1 GiB while 131072 tokens were read; 64 took no time more.
    Read by oneDNN when it first runs.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(KEPT_KERNELS))


def override_model(model: ModelConfig, overrides: Overrides) -> ModelConfig:
    """The model's settings as the caller wants them."""
    wanted, chunks = overrides.dual_chunk_attention, model.dual_chunk
    if wanted is True and chunks is None:
        raise InvalidRequestError(
            "dual_chunk_attention", True, "a model with a dual_chunk_attention_config"
        )
    if wanted is False:
        chunks = None
    if overrides.cap is None:
        return replace(model, dual_chunk=chunks)
    if chunks is None:
        raise InvalidRequestError("cap", overrides.cap, "None: there are no dual chunks")
    try:
        return replace(model, dual_chunk=replace(chunks, cap=overrides.cap))
    except ConfigError as error:  # the caller's, not the checkpoint's
        expected = f"from {chunks.chunk_len - 1} to {chunks.chunk_size}"
        raise InvalidRequestError("cap", overrides.cap, expected) from error


def check_sparse(model: ModelConfig, config: EngineConfig) -> None:
    """Raise when the sparse mode needs a table that the checkpoint lacks."""
    if config.sparse.mode == "fixed" and model.sparse_table is None:
        raise InvalidRequestError(
            "sparse", "fixed", "a model with a sparse_attention_config.json, or 'adaptive'"
        )


def longest_context(model: ModelConfig) -> int:
    """Tokens that the checkpoint is meant for, its rope scaling included."""
    rope = model.rope
    trained = rope.original_max_position_embeddings or model.max_position_embeddings
    if rope.type == "default" or rope.factor <= 1:
        return model.max_position_embeddings
    return max(model.max_position_embeddings, int(trained * rope.factor))


def plan_engine(
    footprint: Footprint, overrides: Overrides, available: int
) -> tuple[MemoryPlan, int]:
    """The plan and the longest context. Raises MemoryPlanError when it does not fit."""
    config, longest = footprint.engine, longest_context(footprint.model)
    if config.max_model_len == "auto":
        max_model_len = fit_context(footprint, available, longest)
        if max_model_len < min(config.page_size, longest):
            plan = footprint.plan(config.page_size, available=available)
            raise MemoryPlanError(plan.total, available, plan.parts, "not even one page fits")
    else:
        max_model_len = config.max_model_len
        if max_model_len > longest:
            logger.warning(
                "max_model_len %d is more than the %d tokens the checkpoint is meant for",
                max_model_len,
                longest,
            )
    kv_tokens = pool_tokens(footprint, overrides, available, max_model_len)
    plan = footprint.plan(max_model_len, kv_tokens=kv_tokens, available=available)
    plan.check("lower max_model_len, or set it to 'auto'")
    return plan, max_model_len


def pool_tokens(
    footprint: Footprint, overrides: Overrides, available: int, max_model_len: int
) -> int:
    """Tokens of the page pool: one longest request, and room for others as far as it goes."""
    if overrides.num_kv_tokens != "auto":
        return overrides.num_kv_tokens
    config = footprint.engine
    typical = config.max_num_seqs * min(max_model_len, TYPICAL_TOKENS)
    room = available - footprint.plan(max_model_len).total
    extra = max(0, room // footprint.kv_bytes_per_token - config.page_size)
    # A page of rounding for each request that runs beside the longest one.
    return max_model_len + min(extra, max(max_model_len, typical) + config.page_size)


def make_cache(
    footprint: Footprint, decoder: Decoder, num_tokens: int, folder: Path, model_name: str
) -> KVCache:
    """Pages of `num_tokens` tokens, named by all that their content depends on."""
    model, config = footprint.model, footprint.engine
    pool = KVPool(
        num_layers=model.num_layers,
        num_kv_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        num_pages=-(-num_tokens // config.page_size),
        page_size=config.page_size,
        dtype=footprint.kv_dtype,
        device=decoder.device,
    )
    reusable = config.enable_prefix_caching and config.temperature_mode != "length"
    disk = config.disk_cache if reusable else None
    # Only mode "fixed" reads by the table, and its pages promise nothing that could be compared.
    table = {"sparse_table": model.sparse_table} if config.sparse.mode == "fixed" else {}
    name = fingerprint(
        **table,
        model=model.raw,
        weights=None if disk is None else weights_digest(folder, disk.directory),
        rope=model.rope,
        dual_chunk=model.dual_chunk,
        dtype=str(decoder.dtype),
        kv_dtype=str(footprint.kv_dtype),
        quantization=config.quantization,
        temperature_mode=config.temperature_mode,
    )
    store = None
    if disk is not None:
        store = ExtentStore(disk, name, layout_of(pool), name=model_name)
    return KVCache(
        pool.num_pages,
        config.page_size,
        fingerprint=name,
        enable_prefix_caching=reusable,
        pool=pool,
        store=store,
    )


def weights_digest(folder: Path, cache_directory: Path) -> bytes:
    """What the weight files hold: pages on disk may meet another checkpoint of the same shape."""
    memo = FileDigests(cache_directory / "weights.json")
    return memo.digest(folder.glob("*.safetensors"))


def load_tokenizer(folder: Path) -> Tokenizer | None:
    """The checkpoint's tokenizer, None where it has none (token ids only)."""
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        return None
    return Tokenizer.from_directory(folder)
