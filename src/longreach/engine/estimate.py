"""What a prompt will cost, before it runs: memory by plan, time by a short calibration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from longreach.config import EngineConfig, ModelConfig
from longreach.engine.build import longest_context
from longreach.engine.calibrate import Calibration, Rates
from longreach.engine.memory import Footprint, MemoryPlan, plannable_bytes
from longreach.engine.prefill_time import PrefillTime, prefill_seconds, prefill_time, text_range
from longreach.errors import InvalidRequestError
from longreach.models.loader import load_config, resolve_dtype, resolve_kv_dtype
from longreach.models.registry import resolve_model
from longreach.models.sizes import num_parameters, weight_bytes
from longreach.platform import resident_bytes


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The cost of reading one prompt of `num_tokens` here.

    plan: bytes by part, with what is available. longest_context: what the model is made for.
    prefill: predicted seconds to the first token; dense_prefill_s: with every pair computed.
    keys_per_row: keys that a row keeps of the easiest and of the hardest text assumed (None:
    dense). decode_tokens_per_s: after such a prompt. rates: what was measured.
    """

    num_tokens: int
    num_parameters: int
    plan: MemoryPlan
    longest_context: int
    prefill: PrefillTime
    dense_prefill_s: float
    decode_tokens_per_s: float
    keys_per_row: tuple[int, int] | None
    rates: Rates

    @property
    def fits(self) -> bool:
        """Whether the plan is within what is available, and the model is made for such lengths."""
        return self.fits_memory and self.fits_model

    @property
    def fits_memory(self) -> bool:
        """Whether the plan is within what is available."""
        return self.plan.total <= self.plan.available

    @property
    def fits_model(self) -> bool:
        """Whether the model has positions for so many tokens."""
        return self.num_tokens <= self.longest_context


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
    """Estimate for a model whose footprint is known; calibrates for about a second.

    Raises InvalidRequestError for a number of tokens that is none.
    """
    if isinstance(num_tokens, bool) or not isinstance(num_tokens, int) or num_tokens < 0:
        raise InvalidRequestError("num_tokens", num_tokens, "an integer of at least 0")
    model, config = footprint.model, footprint.engine
    plan = footprint.plan(num_tokens, available=plannable_bytes(device))
    rates = Calibration(model, footprint.dtype, device, config.quantization).measure()
    texts = text_range(config, num_tokens)
    head_s = rates.one_row_s * head_share(model)
    one_token_s = model.num_layers * (rates.one_row_s + rates.one_row_key_s * num_tokens) + head_s
    return Estimate(
        num_tokens=num_tokens,
        num_parameters=num_parameters(model),
        plan=plan,
        longest_context=longest_context(model),
        prefill=prefill_time(footprint, rates, num_tokens, texts),
        dense_prefill_s=prefill_seconds(footprint, rates, num_tokens, None),
        decode_tokens_per_s=1 / one_token_s,
        keys_per_row=texts and (texts[0].keys, texts[1].keys),
        rates=rates,
    )


def head_share(model: ModelConfig) -> float:
    """Weights of the output head over those of one layer."""
    heads = 2 * (model.num_heads + model.num_kv_heads) * model.head_dim
    layer = model.hidden_size * (heads + 3 * model.intermediate_size)
    return model.vocab_size * model.hidden_size / layer
