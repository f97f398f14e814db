"""How much of one row's attention falls into each of some ranges of keys.

Shape letters: T rows of the slice, N query heads, G kv heads, H head dim, S physical KV slots,
P spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from longreach.errors import ShapeError
from longreach.ops.attention import AttentionScratch, SliceMeta
from longreach.ops.span_mass import torch_stream
from longreach.ops.span_mass.reference import span_mass_reference
from longreach.ops.span_mass.torch_stream import SCRATCH_BYTES

__all__ = ["SCRATCH_BYTES", "span_mass", "span_mass_reference"]


def span_mass(
    q_TNH: Tensor,
    k_GSH: Tensor,
    meta: SliceMeta,
    spans: Sequence[tuple[int, int]],
    *,
    scratch: AttentionScratch,
) -> Tensor:
    """Share of the softmax of the slice's last row that lies in each span of keys.

    q_TNH: before rotary embedding. k_GSH: one layer's whole pool, as `attend_slice` reads it.
    spans: [start, end) of keys, ascending and disjoint; what a row does not see has no mass.
    Returns float64 [N, P], each in [0, 1]; what lies outside of all spans is missing. Equals
    `span_mass_reference` on un-rotated keys. At most SCRATCH_BYTES of memory; time about half of
    the row's attention.
    Raises ShapeError.
    """
    if q_TNH.dim() != 3 or k_GSH.dim() != 3 or q_TNH.shape[2] != k_GSH.shape[2]:
        raise ShapeError(f"q is {tuple(q_TNH.shape)}, k {tuple(k_GSH.shape)}: expected TNH, GSH")
    if q_TNH.shape[0] != meta.length or q_TNH.shape[1] % k_GSH.shape[0]:
        raise ShapeError(
            f"q is {tuple(q_TNH.shape)} for {meta.length} rows and {k_GSH.shape[0]} KV heads"
        )
    if any(a >= b for a, b in spans) or any(a[1] > b[0] for a, b in pairwise(spans)):
        raise ShapeError("spans are not ascending, disjoint and non-empty")
    return torch_stream.span_mass(q_TNH, k_GSH, meta, spans, scratch)
