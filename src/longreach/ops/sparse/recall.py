"""How much of some rows' softmax patterns keep, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longreach.ops.pattern import Pattern
from longreach.ops.sparse.masses import kept_masses, tile_masses
from longreach.ops.sparse.segment import check_shapes
from longreach.ops.sparse.stream import ScoreStream, Slice, sampled_queries


def measure_recall(
    q_TNH: Tensor, k_GSH: Tensor, meta: Slice, pattern: Pattern, rows: Sequence[int]
) -> Tensor:
    """Mean share of the softmax mass of `rows` that the pattern keeps, per head: float32 [N].

    rows: distinct absolute positions within the slice. One pass over the keys per sparse group.
    """
    return row_recall(q_TNH, k_GSH, meta, pattern, rows).mean(0)


def measure_recalls(
    q_TNH: Tensor, k_GSH: Tensor, meta: Slice, patterns: Sequence[Pattern], rows: Sequence[int]
) -> list[Tensor]:
    """`measure_recall` of several patterns, in hardly more time than of one."""
    return [recall_PN.mean(0) for recall_PN in _row_recalls(q_TNH, k_GSH, meta, patterns, rows)]


def row_recall(
    q_TNH: Tensor, k_GSH: Tensor, meta: Slice, pattern: Pattern, rows: Sequence[int]
) -> Tensor:
    """`measure_recall` before the mean: float32 [P, N], rows ascending."""
    return _row_recalls(q_TNH, k_GSH, meta, [pattern], rows)[0]


def _row_recalls(
    q_TNH: Tensor, k_GSH: Tensor, meta: Slice, patterns: Sequence[Pattern], rows: Sequence[int]
) -> list[Tensor]:
    check_shapes(q_TNH, k_GSH, meta)
    queries = sampled_queries(q_TNH, meta, sorted(set(rows)))
    num_groups = k_GSH.shape[0]
    kept: list[list[Tensor]] = [[] for _ in patterns]
    for group in range(num_groups):
        forms = [pattern.groups[group] for pattern in patterns]
        if any(form is not None for form in forms):
            stream = ScoreStream(k_GSH[group], meta, queries, group, num_groups)
            masses = tile_masses(stream, num_sinks=0)
        for parts, form in zip(kept, forms, strict=True):
            if form is None:
                shape = queries.group_shape(num_groups)[:2]
                parts.append(torch.ones(shape, device=k_GSH.device))
            else:
                parts.append(kept_masses(stream, masses, form).float())
    return [torch.cat(parts, dim=1) for parts in kept]
