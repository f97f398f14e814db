"""Run a decoder over whole requests, in any slices, several requests packed into one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from longreach.cache.pool import KVPool
from longreach.models.batch import AttentionChoice, BatchSlice, DenseChoice, StepBatch
from longreach.models.decoder import Decoder
from longreach.models.loader import load_model
from longreach.ops.attention import KeyRuns, prepare_slice
from longreach.ops.dca import DualChunk
from longreach.ops.rope import inverse_frequencies

PAGE = 16


@dataclass
class Stepper:
    """A decoder with a pool in which every request owns one stretch of `room` slots."""

    decoder: Decoder
    room: int = 256
    num_requests: int = 4
    temperature_mode: str = "position"
    total_length: int = 0  # what dynamic NTK is stretched for
    choice: AttentionChoice = field(default_factory=DenseChoice)

    def __post_init__(self) -> None:
        config = self.decoder.config
        self.pool = KVPool(
            num_layers=config.num_layers,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            num_pages=self.room * self.num_requests // PAGE,
            page_size=PAGE,
            dtype=self.decoder.dtype,
        )

    def batch(self, work: Sequence[tuple[int, Sequence[int], int]], **options: object) -> StepBatch:
        """One step over (request, token ids, start) triples; every row's logits are wanted."""
        ids = [token for _, tokens, _ in work for token in tokens]
        slots = [
            torch.arange(start, start + len(tokens)) + at * self.room for at, tokens, start in work
        ]
        slices, row = [], 0
        for at, tokens, start in work:
            meta = self._meta(at, start, len(tokens))
            slices.append(BatchSlice(row, row + len(tokens), meta, self.choice))
            row += len(tokens)
        return StepBatch(
            token_ids_T=torch.tensor(ids),
            slot_mapping_T=torch.cat(slots),
            slices=tuple(slices),
            logit_rows=torch.arange(row),
            **options,
        )

    def step(self, work: Sequence[tuple[int, Sequence[int], int]]) -> list[Tensor]:
        """Logits of all rows, per slice."""
        batch = self.batch(work)
        hidden = self.decoder(batch.token_ids_T, batch, self.pool)
        return list(self.decoder.logits(hidden).split([len(tokens) for _, tokens, _ in work]))

    def request(self, tokens: Sequence[int], cuts: Sequence[int] = (), at: int = 0) -> Tensor:
        """Logits [n, V] of one request cut into slices."""
        edges = [0, *cuts, len(tokens)]
        return torch.cat([self.step([(at, tokens[a:b], a)])[0] for a, b in pairwise(edges)])

    def _meta(self, at: int, start: int, length: int) -> object:
        config = self.decoder.config
        inv_freq, factor = inverse_frequencies(config.rope, config.head_dim, self.total_length)
        chunks = config.dual_chunk
        return prepare_slice(
            start,
            length,
            KeyRuns([(0, at * self.room, start + length)]),
            geometry=DualChunk(chunks.chunk_len, chunks.query_cap) if chunks else DualChunk.plain(),
            inv_freq=inv_freq,
            attention_factor=factor,
            head_dim=config.head_dim,
            original_max_position=chunks.original_max_position_embeddings if chunks else 0,
            temperature_mode=self.temperature_mode,
        )


def load(folder: Path, dtype: str = "float32", **options: object) -> Stepper:
    """A stepper over a checkpoint."""
    return Stepper(load_model(folder, dtype=dtype)[0], **options)


def random_tokens(n: int, vocab: int = 300, seed: int = 0) -> list[int]:
    return torch.randint(0, vocab, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def relative(got: Tensor, want: Tensor) -> float:
    """Norm of the difference over the norm."""
    return float((got.double() - want.double()).norm() / want.double().norm())
