"""How much of the past one request's prompt rows read: per layer, slice by slice.

Large slices (a lone prompt's) choose their own pattern. Small ones (when others run too) carry the
layer's last one through its segment. Of every CHECK_EVERY rows a few are measured again, first
without the keys newer than the choice, then with all of them kept: the first that reaches the
target serves the next CHECK_EVERY rows, and where neither does the pattern is chosen anew. The
slice that ends the prompt always chooses: its last rows are the question. It is dense where it has
up to SHORT_ROWS rows, such as a question over a cached document: choosing would cost more.

Shape letters: T rows of the slice, N query heads, G kv heads, S physical slots, H head dim.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from torch import Tensor

from longreach.cache import DENSE, Provenance
from longreach.config import SparsePolicy, SparseTable
from longreach.engine.carried_pattern import CHECK_EVERY, CarriedPattern, chosen
from longreach.engine.metrics import AttentionStats
from longreach.ops.attention import SliceMeta
from longreach.ops.pattern import Pattern, causal_pairs
from longreach.ops.sparse import (
    Selection,
    measure_recalls,
    select_adaptive,
    select_budget,
    select_fixed,
)

SELECTION_VERSION = 2
"""Raised when a change of the selection rules makes older sparse pages worth less."""
SHORT_ROWS = 128
CHECKED_ROWS = 8


def wanted_provenance(policy: SparsePolicy, num_prompt_tokens: int) -> Provenance:
    """What a prompt of this length asks of cached pages: dense, or its policy's promise."""
    if policy.is_dense(num_prompt_tokens):
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


class SparseRows:
    """Chooses, carries and measures the patterns of one request. See the module."""

    def __init__(
        self,
        policy: SparsePolicy,
        wanted: Provenance,
        *,
        num_prompt_tokens: int,
        segment_rows: int,
        inv_freq: Tensor,
        table: SparseTable | None = None,
        chunk_len: int | None = None,
        seed: int = 0,
    ) -> None:
        self.policy = policy
        self.wanted = wanted
        self.num_prompt_tokens = num_prompt_tokens
        self.segment_rows = segment_rows
        self.inv_freq = inv_freq
        self.table = table
        self.chunk_len = chunk_len if wanted.mode == "fixed" else None
        self.stats = AttentionStats()
        self._carried: dict[int, CarriedPattern] = {}
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
        is_end = meta.num_keys >= self.num_prompt_tokens
        if is_end and meta.length <= SHORT_ROWS:
            self._count_dense(rows)
            return None
        pattern = None if is_end else self._carry(layer, q_TNH, k_GSH, meta)
        pattern = pattern or self._select(layer, q_TNH, k_GSH, meta)
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
        self._carried = {at: c for at, c in self._carried.items() if c.as_of <= start}

    def _count_dense(self, rows: range, *, recall_known: bool = False) -> None:
        pairs = causal_pairs(rows)
        self.stats.add_pairs(pairs, pairs)
        if not recall_known:
            self.stats.add_dense(len(rows))

    def _carry(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern | None:
        """The layer's last pattern, where it still serves."""
        carried = self._carried.get(layer)
        if carried is None or self._crosses_chunk(carried, meta.num_keys):
            return None
        if carried.is_due(meta.num_keys):
            carried = self._checked(carried, q_TNH, k_GSH, meta)
        elif not carried.reaches(meta.num_keys, self.segment_rows):
            return None
        if carried is None:
            return None
        self._carried[layer] = carried
        self.stats.add_recall(carried.recall_N, meta.length)
        return carried.up_to(meta.num_keys)

    def _checked(
        self, carried: CarriedPattern, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta
    ) -> CarriedPattern | None:
        """The pattern with what rows of this slice say of it; None where it no longer serves."""
        if carried.has_dense_groups:
            return None
        stop = meta.num_keys
        promises = self.wanted.mode == "adaptive"
        leaner = [carried.without_newer()] if promises else []
        forms = [f for f in (*leaner, carried) if f.reaches(stop, self.segment_rows)]
        patterns = [form.up_to(stop) for form in forms]
        recalls = measure_recalls(q_TNH, k_GSH, meta, patterns, checked_rows(meta))
        for form, recall_N in zip(forms, recalls, strict=True):
            if not promises or float(recall_N.min()) >= self.policy.recall:
                return form.measured(recall_N, stop)
        return None

    def _crosses_chunk(self, carried: CarriedPattern, stop: int) -> bool:
        step = self.chunk_len
        return step is not None and carried.start // step != (stop - 1) // step

    def _select(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern:
        selection = self._selection(layer, q_TNH, k_GSH, meta)
        self.stats.add_recall(selection.recall_N, meta.length)
        rows = range(meta.start, meta.num_keys)
        self._carried[layer] = chosen(
            selection.pattern, selection.recall_N, rows, layer, self.wanted.target
        )
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
        return select_adaptive(
            q_TNH,
            k_GSH,
            meta,
            target=self.policy.recall,
            seed=self.seed,
            serves=min(CHECK_EVERY, self.num_prompt_tokens - meta.start),
            goes_on=meta.num_keys < self.num_prompt_tokens,
        )


def checked_rows(meta: SliceMeta) -> list[int]:
    """CHECKED_ROWS rows of a slice, evenly spread, its last one among them (absolute)."""
    count = min(CHECKED_ROWS, meta.length)
    return [meta.start + step * meta.length // count - 1 for step in range(1, count + 1)]


def make_choice(
    policy: SparsePolicy,
    wanted: Provenance,
    *,
    num_prompt_tokens: int,
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
        num_prompt_tokens=num_prompt_tokens,
        segment_rows=segment_rows,
        inv_freq=inv_freq,
        table=table,
        chunk_len=chunk_len,
        seed=seed,
    )


Rows = DenseRows | SparseRows
