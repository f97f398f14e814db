"""Where the rows of a request stand: its rotary frequencies, chunks and temperature.

The one place where the engine turns a model's rope and dual chunk settings into slice metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from longreach.config import ModelConfig, TemperatureMode
from longreach.ops.attention import SliceMeta, prepare_slice
from longreach.ops.dca import DualChunk
from longreach.ops.rope import inverse_frequencies


@dataclass(frozen=True, kw_only=True)
class RequestPositions:
    """What is fixed for one request when it arrives.

    inv_freq: float64 [head_dim // 2]. seed: what of it must be part of the name of its pages.
    """

    inv_freq: Tensor
    attention_factor: float
    num_prompt_tokens: int
    seed: bytes


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Positions of one model."""

    model: ModelConfig
    temperature_mode: TemperatureMode
    device: torch.device
    geometry: DualChunk = field(init=False)

    def __post_init__(self) -> None:
        chunks = self.model.dual_chunk
        geometry = DualChunk(chunks.chunk_len, chunks.query_cap) if chunks else DualChunk.plain()
        object.__setattr__(self, "geometry", geometry)

    @property
    def trained_length(self) -> int:
        """T0 of the temperature, 0 where there is none."""
        chunks = self.model.dual_chunk
        return chunks.original_max_position_embeddings if chunks else 0

    def of_request(self, num_prompt_tokens: int, max_tokens: int) -> RequestPositions:
        """Frequencies for a request; dynamic NTK stretches its base for prompt and answer."""
        rope = self.model.rope
        length = num_prompt_tokens + max_tokens
        inv_freq, factor = inverse_frequencies(rope, self.model.head_dim, length)
        stretched = rope.type == "dynamic" and length > rope.original_max_position_embeddings
        return RequestPositions(
            inv_freq=inv_freq,
            attention_factor=factor,
            num_prompt_tokens=num_prompt_tokens,
            seed=f"dynamic:{length}".encode() if stretched else b"",
        )

    def prepare(
        self,
        request: RequestPositions,
        start: int,
        length: int,
        runs: Sequence[tuple[int, int, int]],
    ) -> SliceMeta:
        """Metadata of rows [start, start + length), whose keys lie in `runs`."""
        return prepare_slice(
            start,
            length,
            runs,
            geometry=self.geometry,
            inv_freq=request.inv_freq,
            attention_factor=request.attention_factor,
            head_dim=self.model.head_dim,
            original_max_position=self.trained_length,
            temperature_mode=self.temperature_mode,
            request_length=max(request.num_prompt_tokens, start + length),
            device=self.device,
        )
