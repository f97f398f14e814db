"""How fast this machine runs a model's own operations, measured in about a second.

One layer with made-up weights and a small pool of made-up keys stand for the whole model: every
layer does the same work. Its cost does not depend on the numbers but where a pattern is chosen: the
keys are such that attention has something to find, NUM_TARGETS of them.

Shape letters: T rows, N query heads, G kv heads, S physical slots, H head dim, O and I of a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
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
NUM_TARGETS = 64
"""Keys that every query looks at, evenly spread."""
TARGET_SCORE, OTHER_SCALE = 24.0, 0.3
LAYER_FLOPS = 1e11
"""Linear work of one trial; rows are chosen for it."""
MAX_RUNS, ENOUGH_S = 4, 0.25
"""A trial is run again until it has taken so long: the fastest run counts."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Seconds per unit, of one layer and all its heads.

    row_s: linear work of one row in a long slice. one_row_s: of a single row (decode).
    pair_s: one (row, key) pair of dense attention; kept_pair_s: one kept pair of a sparse pattern;
    choice_s: choosing a pattern, whatever its size; scored_pair_s: one pair scored for that.
    one_row_key_s: one key of a decode row.
    """

    row_s: float
    one_row_s: float
    pair_s: float
    kept_pair_s: float
    choice_s: float
    scored_pair_s: float
    one_row_key_s: float


class _Pool:
    """A layer's pool of made-up keys; writes are done, so their cost counts."""

    def __init__(self, model: ModelConfig, dtype: torch.dtype, device: torch.device) -> None:
        shape = (model.num_kv_heads, NUM_KEYS, model.head_dim)
        k_GSH = torch.randn(shape) * OTHER_SCALE
        k_GSH[:, :: NUM_KEYS // NUM_TARGETS, 0] = peak(model)
        self.k = [k_GSH.to(device, dtype)]
        self.v = [torch.randn(shape).to(device, dtype)]

    def write(self, layer: int, slots_T: Tensor, k_TGH: Tensor, v_TGH: Tensor) -> None:
        """Slots follow each other here."""
        first = int(slots_T[0])
        rows = slice(first, first + len(slots_T))
        self.k[layer][:, rows] = k_TGH.transpose(0, 1)
        self.v[layer][:, rows] = v_TGH.transpose(0, 1)


def peak(model: ModelConfig) -> float:
    """What queries and their targets hold in the first place of a head: scores of TARGET_SCORE."""
    return sqrt(TARGET_SCORE * sqrt(model.head_dim))


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
        # Not turned, so that targets are found at any distance; turning by 0 costs as much.
        self.inv_freq = torch.zeros_like(inverse_frequencies(model.rope, model.head_dim)[0])
        self.queries_TNH = self._queries()

    @torch.inference_mode()
    def measure(self) -> Rates:
        """Run every trial. Linear layers last: they write over the keys."""
        dense = self._slice(NUM_KEYS - DENSE_ROWS, DENSE_ROWS)
        pairs = causal_pairs(range(dense.start, dense.start + dense.length))
        pair_s = self._timed(lambda: self._attend(dense, None)) / pairs
        one = self._slice(NUM_KEYS - 1, 1)
        one_row_key_s = self._timed(lambda: self._attend(one, None)) / NUM_KEYS
        choice_s, scored_pair_s = self._choosing(pair_s / 2)
        kept_pair_s = self._kept()
        row_s, one_row_s = self._linear()
        return Rates(
            row_s=row_s,
            one_row_s=one_row_s,
            pair_s=pair_s,
            kept_pair_s=kept_pair_s,
            choice_s=choice_s,
            scored_pair_s=scored_pair_s,
            one_row_key_s=one_row_key_s,
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

    def _choosing(self, least_pair_s: float) -> tuple[float, float]:
        """Seconds of a choice by itself, and per scored pair: the line through two trials.

        least_pair_s: what a scored pair costs at least, should chance make the line too flat.
        """
        (few, few_s), (many, many_s) = (self._choice(NUM_KEYS // part) for part in (8, 2))
        slope = max((many_s - few_s) / (many - few), least_pair_s)
        return max(many_s - slope * many, 0.0), slope

    def _choice(self, num_rows: int) -> tuple[int, float]:
        """Pairs scored to choose for the last rows, and the seconds it takes."""
        meta = self._slice(NUM_KEYS - num_rows, num_rows)
        queries_TNH, k_GSH = self.queries_TNH[:1].expand(num_rows, -1, -1), self.pool.k[0]
        seconds = self._timed(lambda: select_adaptive(queries_TNH, k_GSH, meta, target=0.95))
        sampled = sample_rows(meta.start, meta.length, meta.geometry.chunk_len)
        return sampled.num_scores, seconds

    def _kept(self) -> float:
        """Seconds per kept pair of sparse attention."""
        meta = self._slice(NUM_KEYS - SPARSE_ROWS, SPARSE_ROWS)
        columns, diagonals = BUDGET
        pattern = select_budget(
            self.queries_TNH, self.pool.k[0], meta, columns=columns, diagonals=diagonals
        ).pattern
        rows = range(meta.start, meta.start + meta.length)
        density = pattern.density(rows)
        kept = causal_pairs(rows) * sum(density) / len(density)
        return self._timed(lambda: self._attend(meta, pattern)) / kept

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
        queries_TNH = torch.randn(shape, generator=generator) * OTHER_SCALE
        queries_TNH[..., 0] = peak(self.model)
        return queries_TNH.to(self.device, self.dtype)

    def _attend(self, meta: SliceMeta, pattern: Pattern | None) -> None:
        queries_TNH = self.queries_TNH[: meta.length]
        k_GSH, v_GSH = self.pool.k[0], self.pool.v[0]
        attend_slice(queries_TNH, k_GSH, v_GSH, meta, pattern, scratch=self.scratch)

    def _timed(self, work: Callable[[], object]) -> float:
        """Seconds of the fastest run but the first, which makes the buffers."""
        work()
        self._wait()
        runs: list[float] = []
        while len(runs) < MAX_RUNS and sum(runs) < ENOUGH_S:
            start = perf_counter()
            work()
            self._wait()
            runs.append(perf_counter() - start)
        return min(runs)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
