"""How much of some rows' softmax a pattern keeps, exactly."""

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


def row_recall(
    q_TNH: Tensor, k_GSH: Tensor, meta: Slice, pattern: Pattern, rows: Sequence[int]
) -> Tensor:
    """`measure_recall` before the mean: float32 [P, N], rows ascending."""
    check_shapes(q_TNH, k_GSH, meta)
    queries = sampled_queries(q_TNH, meta, sorted(set(rows)))
    num_groups = k_GSH.shape[0]
    kept = []
    for group, kept_keys in enumerate(pattern.groups):
        if kept_keys is None:
            kept.append(torch.ones(queries.group_shape(num_groups)[:2], device=k_GSH.device))
            continue
        stream = ScoreStream(k_GSH[group], meta, queries, group, num_groups)
        kept.append(kept_masses(stream, tile_masses(stream, num_sinks=0), kept_keys).float())
    return torch.cat(kept, dim=1)
