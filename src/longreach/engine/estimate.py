"""What a prompt will cost, before it runs: memory by plan, time by a short calibration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from longreach.config import EngineConfig, ModelConfig
from longreach.engine.calibrate import Calibration, Rates
from longreach.engine.memory import Footprint, MemoryPlan, plannable_bytes
from longreach.models.loader import load_config, resolve_dtype, resolve_kv_dtype
from longreach.models.registry import resolve_model
from longreach.models.sizes import num_parameters, weight_bytes
from longreach.ops.pattern import causal_pairs
from longreach.ops.sparse.sampling import sample_rows
from longreach.platform import resident_bytes

ASSUMED_KEYS = 4096
"""Keys a row keeps on average under `adaptive`: the text decides, so this is an assumption."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The cost of reading one prompt of `num_tokens` here.

    plan: bytes by part, with what is available. prefill_s: predicted seconds to the first token;
    dense_prefill_s: with every pair computed. keys_per_row: keys that a row is assumed to keep
    (None: dense). decode_tokens_per_s: after such a prompt. rates: what was measured.
    """

    num_tokens: int
    num_parameters: int
    plan: MemoryPlan
    prefill_s: float
    dense_prefill_s: float
    decode_tokens_per_s: float
    keys_per_row: int | None
    rates: Rates

    @property
    def fits(self) -> bool:
        """Whether the plan is within what is available."""
        return self.plan.total <= self.plan.available


def estimate_model(
    model: str | Path,
    num_tokens: int,
    config: EngineConfig | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Estimate:
    """Estimate from a checkpoint's config.json alone: no weight is loaded.

    Raises the ModelError family for a directory that is no model.
    """
    config, device = config or EngineConfig(), torch.device(device)
    settings = load_config(resolve_model(model), strict=config.strict_config)
    dtype = resolve_dtype(config.dtype, device)
    footprint = Footprint(
        model=settings,
        engine=config,
        dtype=dtype,
        kv_dtype=resolve_kv_dtype(config, settings, dtype),
        weight_bytes=weight_bytes(settings, dtype, config.quantization, device),
        runtime_bytes=resident_bytes() if device.type == "cpu" else 0,
    )
    return estimate_prompt(footprint, num_tokens, device)


def estimate_prompt(footprint: Footprint, num_tokens: int, device: torch.device) -> Estimate:
    """Estimate for a model whose footprint is known; calibrates for about a second."""
    model, config = footprint.model, footprint.engine
    plan = footprint.plan(num_tokens, available=plannable_bytes(device))
    rates = Calibration(model, footprint.dtype, device, config.quantization).measure()
    keys = keys_per_row(config, num_tokens)
    head_s = rates.one_row_s * head_share(model)
    one_token_s = model.num_layers * (rates.one_row_s + rates.one_row_key_s * num_tokens) + head_s
    return Estimate(
        num_tokens=num_tokens,
        num_parameters=num_parameters(model),
        plan=plan,
        prefill_s=prefill_seconds(footprint, rates, num_tokens, keys),
        dense_prefill_s=prefill_seconds(footprint, rates, num_tokens, None),
        decode_tokens_per_s=1 / one_token_s,
        keys_per_row=keys,
        rates=rates,
    )


def keys_per_row(config: EngineConfig, num_tokens: int) -> int | None:
    """Keys a row keeps, None where a prompt of this length is dense."""
    policy = config.sparse
    if policy.mode == "off" or num_tokens <= policy.min_tokens or policy.recall >= 1.0:
        return None
    return sum(policy.budget) if policy.budget else ASSUMED_KEYS


def prefill_seconds(footprint: Footprint, rates: Rates, num_tokens: int, keys: int | None) -> float:
    """Linear work, choosing and attention of all layers, segment by segment."""
    segment = footprint.engine.lone_slice_tokens
    attention_s = 0.0
    for start in range(0, num_tokens, segment):
        rows = range(start, min(start + segment, num_tokens))
        dense_s = causal_pairs(rows) * rates.pair_s
        if keys is None:
            attention_s += dense_s
            continue
        sampled = sample_rows(rows.start, len(rows), num_tokens)
        scored = 2 * sum(sampled.choosing) + sum(sampled.held_out)
        sparse_s = scored * rates.scored_pair_s + len(rows) * keys * rates.kept_pair_s
        attention_s += min(dense_s, sparse_s)
    return footprint.model.num_layers * (num_tokens * rates.row_s + attention_s)


def head_share(model: ModelConfig) -> float:
    """Weights of the output head over those of one layer."""
    heads = 2 * (model.num_heads + model.num_kv_heads) * model.head_dim
    layer = model.hidden_size * (heads + 3 * model.intermediate_size)
    return model.vocab_size * model.hidden_size / layer
