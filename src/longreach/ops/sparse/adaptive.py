"""Adaptive selection: the least budget whose recall reaches a target, per KV group."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torch import Tensor

from longreach.ops.pattern import GroupPattern, causal_pairs, kept_pairs
from longreach.ops.sparse.ranking import Ranking, make_pattern
from longreach.ops.sparse.sampling import MIN_SAMPLES, sample_rows
from longreach.ops.sparse.segment import (
    GroupScores,
    RowScores,
    check_shapes,
    dense_selection,
    select_groups,
)
from longreach.ops.sparse.selection import Selection
from longreach.ops.sparse.stream import Slice

PAIR_OVERHEAD = 1.15
"""What a kept pair costs beside a dense one: gathered columns, ragged tiles."""

STANDARD_ERRORS = 2
"""By which checking rows must exceed the target where they are the only ones that decide."""
FIRST_PREFIX = 4096
PREFIX_GROWTH = 4
HEAD_SLACK = 64


def select_adaptive(
    q_TNH: Tensor,
    k_GSH: Tensor,
    meta: Slice,
    *,
    target: float,
    seed: int = 0,
    serves: int = 0,
    goes_on: bool = False,
) -> Selection:
    """A pattern for the rows of the slice that keeps `target` of every head's softmax mass.

    q_TNH: un-rotated. k_GSH: the pool of one layer, keys rotated at `j mod L`, unscaled. Groups for
    which no pattern is cheaper than dense are dense, all of them without scoring when the segment
    is so short that looking costs more than computing, or when target >= 1. Memory O(keys), time
    about 0.6 ns per sampled row, key and head on two cores (docs/lab.md). The same arguments give
    the same pattern. serves: how many rows will use it, where those are more than the slice's:
    looking is weighed against what all of them save. goes_on: the prompt does, so its question is
    not among the last rows; these, and all choosing rows, are then looked at only in groups that
    the forced keys may not suffice.
    """
    check_shapes(q_TNH, k_GSH, meta)
    rows = range(meta.start, meta.start + meta.length)
    looking = _selection_pairs(rows, meta.geometry.chunk_len, seed)
    looking = looking * meta.length // max(meta.length, serves)
    num_keys = rows.stop
    none = k_GSH.new_empty(0).long()
    forced = make_pattern(none, none, num_keys)
    if target >= 1 or not _is_cheaper(forced, rows, looking):
        return dense_selection(q_TNH.shape[1], k_GSH.shape[0], k_GSH.device)

    def choose(scores: GroupScores) -> GroupPattern | None:
        return _least_pattern(scores, target, rows, looking, forced)

    def accept(checking: RowScores) -> GroupPattern | None:
        return forced if _surely_reaches(checking.row_recall(forced), target) else None

    return select_groups(q_TNH, k_GSH, meta, choose, seed, accept if goes_on else None)


def _surely_reaches(recall_PR: Tensor, target: float) -> bool:
    """Whether every head's mean over rows is above the target by STANDARD_ERRORS."""
    num_rows = recall_PR.shape[0]
    if num_rows < 2:
        return False
    error_R = recall_PR.std(0) / num_rows**0.5
    return bool((recall_PR.mean(0) - STANDARD_ERRORS * error_R >= target).all())


def _selection_pairs(rows: range, chunk_len: int, seed: int) -> int:
    """Pairs scored to select. A segment that would be sampled whole is not worth a look."""
    if len(rows) <= MIN_SAMPLES:
        return causal_pairs(rows)
    return sample_rows(rows.start, len(rows), chunk_len, seed).num_scores


def _is_cheaper(group: GroupPattern, rows: range, looking: int) -> bool:
    return PAIR_OVERHEAD * kept_pairs(group, rows) + looking < causal_pairs(rows)


def _least_pattern(
    scores: GroupScores, target: float, rows: range, looking: int, forced: GroupPattern
) -> GroupPattern | None:
    """The shortest prefix that reaches the target for every head; None where dense is cheaper.

    It has to reach it in the rows that made the list and in rows that did not. A list made from
    few rows holds whatever key each of them looked at: where every row looks elsewhere, these few
    keep all their mass while the rest of the segment keeps none of its.
    """
    parts = (scores.choosing, scores.checking)
    if all(bool((part.forced_R >= target).all()) for part in parts):
        return forced
    length = FIRST_PREFIX
    while True:
        ranking = scores.rank(length)
        lower = _lower_bound(scores.choosing, ranking, target)
        at_least = ranking.index_E.numel() if lower is None else lower
        if not _is_cheaper(ranking.pattern(at_least), rows, looking):
            return None
        budget = None if lower is None else _exact_budget(parts, ranking, target, lower)
        if budget is not None:
            pattern = ranking.pattern(budget)
            return pattern if _is_cheaper(pattern, rows, looking) else None
        if ranking.complete or not _is_cheaper(ranking.pattern(sys.maxsize), rows, looking):
            return None
        length *= PREFIX_GROWTH


def _lower_bound(part: RowScores, ranking: Ranking, target: float) -> int | None:
    """A budget below which the target is out of reach: crossings are counted twice."""
    bound_ER = ranking.mass_ER.cumsum(0) / part.stream.num_rows + part.forced_R
    return _first_reaching(bound_ER, target)


def _exact_budget(
    parts: Sequence[RowScores], ranking: Ranking, target: float, lower: int
) -> int | None:
    """The least budget that reaches the target in every part; first looked for near `lower`."""
    for head in (ranking.head(2 * lower + HEAD_SLACK), ranking):
        budgets = [_first_reaching(part.kept_curve(head), target) for part in parts]
        reached = [budget for budget in budgets if budget is not None]
        if len(reached) == len(parts):
            return max(reached)
        if head is ranking:
            break
    return None


def _first_reaching(recall_ER: Tensor, target: float) -> int | None:
    """Number of entries of the shortest prefix that reaches the target for every head."""
    reached = (recall_ER.amin(1) >= target).nonzero()
    return int(reached[0, 0]) + 1 if reached.numel() else None
