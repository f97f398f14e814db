"""Every buffer counted before it is used (docs/architecture.md, "Memory").

A plan is a sum over named parts, each linear in the tokens of the longest prompt or fixed; what is
not in the plan must not be allocated. `fit_context` inverts it for max_model_len="auto".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from longreach.cache.disk.extent import MAX_EXTENT_BYTES
from longreach.cache.disk.writer import MAX_WAITING_BYTES
from longreach.config import EngineConfig, ModelConfig
from longreach.engine.restoring import READERS
from longreach.errors import MemoryPlanError
from longreach.models.sizes import activation_bytes
from longreach.ops.attention import SPAN_SCRATCH_BYTES
from longreach.platform import available_bytes, resident_bytes

USABLE_SHARE = 0.9
"""Of the memory that is free, what we plan with: the rest is left to the system."""
BYTES_PER_PROMPT_TOKEN = 98
"""Text (4), ids as Python integers in two lists (16 + 32) and int64 tensors (16), hashes (20), ids
of the chain and of its pages' names (10).
"""
LOGIT_COPIES = 4
"""Logits, their sorted copy, the sort's indices and the probabilities."""
ROTATION_TABLES = 10
"""Cosines and sines of keys and of three query positions, and the float64 angles they come from."""
ATTENTION_SCORES = 4 * 2**20
"""Scores of one tile of attention (ops/attention)."""
SELECTION_BLOCK_BYTES = 104 * 2**20
"""Blocks of scores and keys of a choice, and kernels of the shapes it brings; measured."""
KERNEL_BYTES = 32 * 2**20
"""Code pages of torch and compiled kernels, touched when a model first runs; measured."""
_FLOAT32 = 4


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Bytes of each part of a run. `available` is what the parts together may take."""

    weights: int
    kv_cache: int
    activations: int
    attention: int
    selection: int
    logits: int
    text: int
    runtime: int
    available: int
    disk_queue: int = 0

    @property
    def parts(self) -> dict[str, int]:
        """Name -> bytes of everything that is allocated."""
        return {
            "weights": self.weights,
            "kv_cache": self.kv_cache,
            "activations": self.activations,
            "attention": self.attention,
            "selection": self.selection,
            "logits": self.logits,
            "text": self.text,
            "runtime": self.runtime,
            "disk_queue": self.disk_queue,
        }

    @property
    def total(self) -> int:
        """Planned peak in bytes."""
        return sum(self.parts.values())

    def check(self, hint: str = "") -> None:
        """Raise MemoryPlanError, with this plan, when it is more than there is."""
        if self.total > self.available:
            raise MemoryPlanError(self.total, self.available, self.parts, hint)


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What the plan needs to know of a model and the process that runs it.

    weight_bytes: parameters as held in memory. dtype: of the activations. kv_dtype: of the cache.
    runtime_bytes: the process without the model (Python, torch).
    """

    model: ModelConfig
    engine: EngineConfig
    dtype: torch.dtype
    kv_dtype: torch.dtype
    weight_bytes: int
    runtime_bytes: int

    @property
    def kv_bytes_per_token(self) -> int:
        """All layers, keys and values."""
        return self.model.kv_values_per_token * self.kv_dtype.itemsize

    @property
    def value_bytes(self) -> int:
        """Size of one number of the activations."""
        return self.dtype.itemsize

    def activation_bytes(self, rows: int) -> int:
        """Of one step of `rows` rows: the decoder's buffers, and cosines and sines."""
        layers = activation_bytes(self.model, self.dtype, rows, self.engine.quantization)
        return layers + rows * ROTATION_TABLES * (self.model.head_dim // 2) * _FLOAT32

    def attention_bytes(self) -> int:
        """Of the attention scratch: one tile of scores, its weights' sums, gathered keys; and of
        a look at where rows attend to.
        """
        tile = ATTENTION_SCORES * (self.value_bytes + _FLOAT32)
        return SPAN_SCRATCH_BYTES + tile + 8 * 4096 * self.model.head_dim * self.value_bytes

    def selection_bytes(self, num_tokens: int) -> int:
        """Of choosing one pattern: mass of each column and tile diagonal, in O(keys)."""
        if self.engine.sparse.is_dense(num_tokens):
            return 0
        columns = num_tokens * (8 * self.model.group_size + 32) * _FLOAT32
        return SELECTION_BLOCK_BYTES + columns

    def disk_queue_bytes(self) -> int:
        """Of the disk cache: copies of pages that wait to be written, and extents being read."""
        if self.engine.disk_cache is None:
            return 0
        extent = max(MAX_EXTENT_BYTES, self.engine.page_size * self.kv_bytes_per_token)
        return max(MAX_WAITING_BYTES, extent) + READERS * extent

    def plan(
        self, num_tokens: int, *, kv_tokens: int | None = None, available: int = 0
    ) -> MemoryPlan:
        """Plan for prompts of up to `num_tokens`; `kv_tokens` is the pool (default: the same)."""
        engine = self.engine
        is_dense = engine.sparse.is_dense(num_tokens)
        rows = engine.dense_slice_tokens if is_dense else engine.lone_slice_tokens
        page = engine.page_size
        kv_tokens = num_tokens if kv_tokens is None else kv_tokens
        logit_rows = min(engine.max_num_seqs, max(1, kv_tokens))
        return MemoryPlan(
            weights=self.weight_bytes,
            kv_cache=-(-kv_tokens // page) * page * self.kv_bytes_per_token,
            activations=self.activation_bytes(min(num_tokens, rows)),
            attention=self.attention_bytes(),
            selection=self.selection_bytes(num_tokens),
            logits=logit_rows * self.model.vocab_size * _FLOAT32 * LOGIT_COPIES,
            text=num_tokens * BYTES_PER_PROMPT_TOKEN,
            runtime=self.runtime_bytes + KERNEL_BYTES,
            available=available,
            disk_queue=self.disk_queue_bytes(),
        )


def fit_context(footprint: Footprint, available: int, longest: int) -> int:
    """The largest number of tokens, at most `longest`, whose plan fits; 0 when none does."""
    low, high = 0, longest
    while low < high:
        middle = (low + high + 1) // 2
        if footprint.plan(middle).total <= available:
            low = middle
        else:
            high = middle - 1
    return low


def plannable_bytes(device: torch.device) -> int:
    """Memory that this process may use in all: most of what is free, and what it holds already."""
    held = resident_bytes() if device.type == "cpu" else torch.cuda.memory_reserved(device)
    return int(available_bytes(device) * USABLE_SHARE) + held
