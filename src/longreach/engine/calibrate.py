"""How fast this machine runs a model's own operations, measured in about a second.

One layer with made-up weights and a small pool of made-up keys stand for the whole model: every
layer does the same work, and its cost does not depend on the numbers.

Shape letters: T rows, N query heads, G kv heads, S physical slots, H head dim, O and I of a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from longreach.config import ModelConfig
from longreach.layers.decoder_layer import MLP, Attention, DecoderLayer, LayerStep
from longreach.layers.norm import RMSNorm
from longreach.layers.projection import Projection, choose_form, make_projection
from longreach.ops.attention import (
    AttentionScratch,
    KeyRuns,
    SliceMeta,
    attend_slice,
    prepare_slice,
)
from longreach.ops.dca import DualChunk
from longreach.ops.pattern import Pattern, causal_pairs
from longreach.ops.rope import inverse_frequencies
from longreach.ops.sparse import select_adaptive, select_budget
from longreach.ops.sparse.sampling import sample_rows

NUM_KEYS = 16384
DENSE_ROWS, SPARSE_ROWS = 512, 2048
BUDGET = (2048, 2048)
LAYER_FLOPS = 3e11
"""Linear work of one trial; rows are chosen for it."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Seconds per unit, of one layer and all its heads.

    row_s: linear work of one row in a long slice. one_row_s: of a single row (decode).
    pair_s: one (row, key) pair of dense attention; kept_pair_s: one kept pair of a sparse pattern;
    scored_pair_s: one pair scored to choose a pattern; one_row_key_s: one key of a decode row.
    """

    row_s: float
    one_row_s: float
    pair_s: float
    kept_pair_s: float
    scored_pair_s: float
    one_row_key_s: float


class _Pool:
    """A layer's pool of made-up keys; writes are done, so their cost counts."""

    def __init__(self, model: ModelConfig, dtype: torch.dtype, device: torch.device) -> None:
        shape = (model.num_kv_heads, NUM_KEYS, model.head_dim)
        self.k = [torch.randn(shape).to(device, dtype)]
        self.v = [torch.randn(shape).to(device, dtype)]

    def write(self, layer: int, slots_T: Tensor, k_TGH: Tensor, v_TGH: Tensor) -> None:
        """Slots follow each other here."""
        first = int(slots_T[0])
        rows = slice(first, first + len(slots_T))
        self.k[layer][:, rows] = k_TGH.transpose(0, 1)
        self.v[layer][:, rows] = v_TGH.transpose(0, 1)


class _NoAttention(Attention):
    """Linear work alone."""

    def attend(self, layer: int, q_TNH: Tensor, step: LayerStep) -> Tensor:
        return q_TNH


class Calibration:
    """The trials of one model on one device."""

    def __init__(
        self,
        model: ModelConfig,
        dtype: torch.dtype,
        device: torch.device,
        quantization: str | None = None,
    ) -> None:
        self.model, self.dtype, self.device = model, dtype, device
        self.quantization = quantization
        self.scratch = AttentionScratch(device)
        self.pool = _Pool(model, dtype, device)
        self.inv_freq, _ = inverse_frequencies(model.rope, model.head_dim)
        self.queries_TNH = self._queries()

    @torch.inference_mode()
    def measure(self) -> Rates:
        """Run every trial."""
        row_s, one_row_s = self._linear()
        scored_pair_s, kept_pair_s = self._sparse()
        dense = self._slice(NUM_KEYS - DENSE_ROWS, DENSE_ROWS)
        one = self._slice(NUM_KEYS - 1, 1)
        pairs = causal_pairs(range(dense.start, dense.start + dense.length))
        return Rates(
            row_s=row_s,
            one_row_s=one_row_s,
            pair_s=self._timed(lambda: self._attend(dense, None)) / pairs,
            kept_pair_s=kept_pair_s,
            scored_pair_s=scored_pair_s,
            one_row_key_s=self._timed(lambda: self._attend(one, None)) / NUM_KEYS,
        )

    def _linear(self) -> tuple[float, float]:
        """Seconds per row in many rows, and of one row alone."""
        layer = self._layer()
        model = self.model
        heads = 2 * (model.num_heads + model.num_kv_heads) * model.head_dim
        flops = 2 * model.hidden_size * (heads + 3 * model.intermediate_size)
        rows = min(NUM_KEYS, max(128, int(LAYER_FLOPS / flops) // 1024 * 1024))
        many = self._timed(lambda: self._run_layer(layer, rows))
        return many / rows, self._timed(lambda: self._run_layer(layer, 1))

    def _layer(self) -> DecoderLayer:
        model = self.model
        queries, keys = model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
        attention = _NoAttention(
            self._projection(queries + 2 * keys, model.hidden_size),
            self._projection(model.hidden_size, queries),
            self._norm(model.head_dim) if model.qk_norm else None,
            self._norm(model.head_dim) if model.qk_norm else None,
            num_heads=model.num_heads,
            num_kv_heads=model.num_kv_heads,
            head_dim=model.head_dim,
        )
        mlp = MLP(
            self._projection(2 * model.intermediate_size, model.hidden_size, gated=True),
            self._projection(model.hidden_size, model.intermediate_size),
        )
        norm = self._norm(model.hidden_size)
        return DecoderLayer(0, norm, attention, norm, mlp)

    def _norm(self, size: int) -> RMSNorm:
        return RMSNorm(torch.ones(size, device=self.device), self.model.rms_norm_eps)

    def _projection(self, outputs: int, inputs: int, *, gated: bool = False) -> Projection:
        weight_OI = torch.full((outputs, inputs), 0.01, dtype=self.dtype, device=self.device)
        return make_projection(
            [weight_OI],
            None,
            form=choose_form(self.dtype, self.device, self.quantization),
            dtype=self.dtype,
            device=self.device,
            gated=gated,
        )

    def _run_layer(self, layer: DecoderLayer, rows: int) -> None:
        meta = self._slice(0, rows)
        hidden_TD = self.scratch.take("hidden", (rows, self.model.hidden_size), self.dtype).fill_(1)
        slots_T = torch.arange(rows)
        layer(hidden_TD, LayerStep((), slots_T, *meta.key_rotation, self.pool, self.scratch))

    def _sparse(self) -> tuple[float, float]:
        """Seconds per scored pair of a choice, and per kept pair of attention."""
        meta = self._slice(NUM_KEYS - SPARSE_ROWS, SPARSE_ROWS)
        queries = self.queries_TNH
        k_GSH = self.pool.k[0]
        sampled = sample_rows(meta.start, meta.length, meta.geometry.chunk_len)
        scored = 2 * sum(sampled.choosing) + sum(sampled.held_out)
        choosing = self._timed(lambda: select_adaptive(queries, k_GSH, meta, target=0.5))
        columns, diagonals = BUDGET
        pattern = select_budget(queries, k_GSH, meta, columns=columns, diagonals=diagonals).pattern
        rows = range(meta.start, meta.start + meta.length)
        density = pattern.density(rows)
        kept = causal_pairs(rows) * sum(density) / len(density)
        return choosing / scored, self._timed(lambda: self._attend(meta, pattern)) / kept

    def _slice(self, start: int, length: int) -> SliceMeta:
        return prepare_slice(
            start,
            length,
            KeyRuns([(0, 0, start + length)]),
            geometry=DualChunk.plain(),
            inv_freq=self.inv_freq,
            head_dim=self.model.head_dim,
            device=self.device,
        )

    def _queries(self) -> Tensor:
        shape = (SPARSE_ROWS, self.model.num_heads, self.model.head_dim)
        generator = torch.Generator().manual_seed(0)
        return torch.randn(shape, generator=generator).to(self.device, self.dtype)

    def _attend(self, meta: SliceMeta, pattern: Pattern | None) -> None:
        queries_TNH = self.queries_TNH[: meta.length]
        k_GSH, v_GSH = self.pool.k[0], self.pool.v[0]
        attend_slice(queries_TNH, k_GSH, v_GSH, meta, pattern, scratch=self.scratch)

    def _timed(self, work: Callable[[], object]) -> float:
        """Seconds of the second of two runs: the first one makes the buffers."""
        work()
        self._wait()
        start = perf_counter()
        work()
        self._wait()
        return perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
