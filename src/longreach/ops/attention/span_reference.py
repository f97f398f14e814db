"""The truth: attention over values that say where each key lies.

Shape letters: T query rows, S keys, N query heads, G kv heads, H head dim, P spans.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from longreach.ops.attention.reference import attention_reference


def span_mass_reference(
    q_TNH: Tensor, k_SGH: Tensor, spans: Sequence[tuple[int, int]], **settings: object
) -> Tensor:
    """Share of the last row's softmax in each span of keys, [N, P], in q's dtype.

    Values that are 1 inside a span and 0 elsewhere come out of attention as the span's mass; so
    many spans at a time as a head has dimensions. settings: as `attention_reference` takes them.
    """
    num_keys, num_groups, head_dim = k_SGH.shape
    inside_SP = q_TNH.new_zeros(num_keys, len(spans))
    for place, (start, end) in enumerate(spans):
        inside_SP[start:end, place] = 1
    parts = []
    for part_SP in inside_SP.split(head_dim, dim=1):
        values_SH = pad(part_SP, (0, head_dim - part_SP.shape[1]))
        values_SGH = values_SH[:, None].expand(-1, num_groups, -1)
        out_TNH, _ = attention_reference(q_TNH, k_SGH, values_SGH, **settings)  # type: ignore[arg-type]
        parts.append(out_TNH[-1, :, : part_SP.shape[1]])
    return torch.cat(parts, dim=1) if parts else q_TNH.new_empty(q_TNH.shape[1], 0)
