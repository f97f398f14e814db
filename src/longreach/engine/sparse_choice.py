"""How much of the past one request's prompt rows read: per layer, slice by slice.

A slice chooses its own pattern, unless carrying the layer's last one is cheaper: every key newer
than that choice is then kept, and a few rows are measured again. Large slices (a lone prompt's) so
always choose; small ones (when others run too) carry until the newer keys outweigh a choice, the
recall falls below the target, or a segment's rows are full. Slices of up to SHORT_ROWS rows, such
as a question over a cached document, are dense: choosing would cost more.

Shape letters: T rows of the slice, N query heads, G kv heads, S physical slots, H head dim.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from torch import Tensor

from longreach.cache import DENSE, Provenance
from longreach.config import SparsePolicy, SparseTable
from longreach.engine.metrics import AttentionStats
from longreach.ops.attention import SliceMeta
from longreach.ops.pattern import Pattern, causal_pairs
from longreach.ops.sparse import (
    Selection,
    measure_recall,
    select_adaptive,
    select_budget,
    select_fixed,
)

SELECTION_VERSION = 1
"""Raised when a change of the selection rules makes older sparse pages worth less."""
SHORT_ROWS = 128
CHECKED_ROWS = 8
CHOOSING_ROWS = 24
"""Rows whose scores a small slice computes to choose: two passes over 8, one over 8 held out."""


def wanted_provenance(policy: SparsePolicy, num_prompt_tokens: int) -> Provenance:
    """What a prompt of this length asks of cached pages: dense, or its policy's promise."""
    if policy.mode == "off" or num_prompt_tokens <= policy.min_tokens:
        return DENSE
    if policy.budget is not None:
        return Provenance(
            mode="budget",
            target=0.0,
            budget=policy.budget,
            selection_version=SELECTION_VERSION,
        )
    if policy.mode == "fixed":
        return Provenance(mode="fixed", target=0.0, selection_version=SELECTION_VERSION)
    if policy.recall >= 1.0:
        return DENSE
    return Provenance(mode="adaptive", target=policy.recall, selection_version=SELECTION_VERSION)


class DenseRows:
    """Attends to everything, and counts it."""

    def __init__(self) -> None:
        self.stats = AttentionStats()

    def pieces(self, start: int, end: int) -> list[tuple[int, int]]:
        """One: dense rows need no cuts."""
        return [(start, end)]

    def choose(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern | None:
        """Always None."""
        pairs = causal_pairs(range(meta.start, meta.start + meta.length))
        self.stats.add_dense(meta.length)
        self.stats.add_pairs(pairs, pairs)
        return None

    def take_step(self) -> tuple[Provenance, AttentionStats]:
        """How the rows since the last call were made, and what was measured on them."""
        stats, self.stats = self.stats, AttentionStats()
        return DENSE, stats

    def drop_step(self, start: int) -> None:
        """Rows from `start` on do not count: they will come again."""
        self.stats = AttentionStats()


@dataclass(frozen=True)
class _Carried:
    pattern: Pattern
    start: int
    stop: int


class SparseRows:
    """Chooses, carries and measures the patterns of one request. See the module."""

    def __init__(
        self,
        policy: SparsePolicy,
        wanted: Provenance,
        *,
        segment_rows: int,
        inv_freq: Tensor,
        table: SparseTable | None = None,
        chunk_len: int | None = None,
        seed: int = 0,
    ) -> None:
        self.policy = policy
        self.wanted = wanted
        self.segment_rows = segment_rows
        self.inv_freq = inv_freq
        self.table = table
        self.chunk_len = chunk_len if wanted.mode == "fixed" else None
        self.stats = AttentionStats()
        self._carried: dict[int, _Carried] = {}
        self._sparse_used = False
        self.seed = seed

    def pieces(self, start: int, end: int) -> list[tuple[int, int]]:
        """The slice cut where patterns must change: at chunk edges for `fixed`, as Qwen does."""
        if self.chunk_len is None:
            return [(start, end)]
        step = self.chunk_len
        cuts = [start, *range((start // step + 1) * step, end, step), end]
        return list(itertools.pairwise(cuts))

    def choose(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern | None:
        """The pattern of this slice in this layer, None for dense."""
        rows = range(meta.start, meta.start + meta.length)
        if meta.length <= SHORT_ROWS:
            self._count_dense(rows)
            return None
        pattern = self._carry(layer, q_TNH, k_GSH, meta) or self._select(layer, q_TNH, k_GSH, meta)
        if pattern.is_dense:
            self._count_dense(rows, recall_known=True)
            return None
        causal = float(causal_pairs(rows))
        density = pattern.density(rows)
        self._sparse_used = True
        self.stats.add_pairs(causal * sum(density) / len(density), causal)
        return pattern

    def take_step(self) -> tuple[Provenance, AttentionStats]:
        """How the rows since the last call were made, and what was measured on them."""
        stats, self.stats = self.stats, AttentionStats()
        used, self._sparse_used = self._sparse_used, False
        if not used:
            return DENSE, stats
        return replace(
            self.wanted, recall_min=stats.recall_min, recall_mean=stats.recall_mean
        ), stats

    def drop_step(self, start: int) -> None:
        """Rows from `start` on do not count: they will come again, perhaps in other slices."""
        self.take_step()
        self._carried = {at: c for at, c in self._carried.items() if c.stop <= start}

    def _count_dense(self, rows: range, *, recall_known: bool = False) -> None:
        pairs = causal_pairs(rows)
        self.stats.add_pairs(pairs, pairs)
        if not recall_known:
            self.stats.add_dense(len(rows))

    def _carry(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern | None:
        """The layer's last pattern, where it still serves and is cheaper than a new choice."""
        carried = self._carried.get(layer)
        if carried is None or not self._may_carry(carried, meta):
            return None
        pattern = carried.pattern.carried(carried.stop, meta.start + meta.length)
        recall_N = measure_recall(q_TNH, k_GSH, meta, pattern, checked_rows(meta))
        if self.wanted.mode == "adaptive" and float(recall_N.min()) < self.policy.recall:
            return None
        self.stats.add_recall(recall_N, meta.length)
        return pattern

    def _may_carry(self, carried: _Carried, meta: SliceMeta) -> bool:
        if any(group is None for group in carried.pattern.groups):
            return False
        stop = meta.start + meta.length
        newer_pairs = meta.length * (meta.start - carried.stop + meta.length // 2)
        return (
            stop - carried.start <= self.segment_rows
            and newer_pairs <= (CHOOSING_ROWS - CHECKED_ROWS) * stop
            and not self._crosses_chunk(carried, stop)
        )

    def _crosses_chunk(self, carried: _Carried, stop: int) -> bool:
        step = self.chunk_len
        return step is not None and carried.start // step != (stop - 1) // step

    def _select(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern:
        selection = self._selection(layer, q_TNH, k_GSH, meta)
        self.stats.add_recall(selection.recall_N, meta.length)
        stop = meta.start + meta.length
        self._carried[layer] = _Carried(selection.pattern, meta.start, stop)
        return selection.pattern

    def _selection(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Selection:
        if self.policy.budget is not None:
            columns, diagonals = self.policy.budget
            return select_budget(
                q_TNH, k_GSH, meta, columns=columns, diagonals=diagonals, seed=self.seed
            )
        if self.policy.mode == "fixed":
            assert self.table is not None, "fixed mode without a table is refused at load"
            return select_fixed(
                q_TNH,
                k_GSH,
                meta,
                budgets=[(b.vertical_size, b.slash_size) for b in self.table.heads[layer]],
                inv_freq=self.inv_freq,
                last_q=self.table.last_q,
                seed=self.seed,
            )
        return select_adaptive(q_TNH, k_GSH, meta, target=self.policy.recall, seed=self.seed)


def checked_rows(meta: SliceMeta) -> list[int]:
    """CHECKED_ROWS rows of a slice, evenly spread, its last one among them (absolute)."""
    count = min(CHECKED_ROWS, meta.length)
    return [meta.start + step * meta.length // count - 1 for step in range(1, count + 1)]


def make_choice(
    policy: SparsePolicy,
    wanted: Provenance,
    *,
    segment_rows: int,
    inv_freq: Tensor,
    table: SparseTable | None,
    chunk_len: int | None,
    seed: int,
) -> DenseRows | SparseRows:
    """The choice of a request that wants `wanted`."""
    if wanted.is_dense:
        return DenseRows()
    return SparseRows(
        policy,
        wanted,
        segment_rows=segment_rows,
        inv_freq=inv_freq,
        table=table,
        chunk_len=chunk_len,
        seed=seed,
    )


Rows = DenseRows | SparseRows
