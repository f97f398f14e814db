"""How much of one row's attention falls into each of some ranges of keys.

One pass over the keys, piece by piece, each against its own largest logit.

Shape letters: T rows of the slice, N query heads, G kv heads, R = N // G, S physical slots, K keys
of a piece, H head dim, P spans.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from longreach.errors import ShapeError
from longreach.ops.attention.blocks import spans_between
from longreach.ops.attention.meta import LOG2_E, SliceMeta
from longreach.ops.attention.scratch import AttentionScratch
from longreach.ops.rope import rotate

PIECE_VALUES = 2**20
"""Numbers in the keys of one piece: 4 MiB where a narrow pool is read in float32."""
SPAN_SCRATCH_BYTES = 16 * 2**20
"""What a pass takes at most: a piece of keys, its logits and their running sums."""


class _Piece(NamedTuple):
    """Sums over some keys, as multiples of 2^largest: of all of them, and of spans from `first`."""

    largest_N1: Tensor
    total_N1: Tensor
    first: int
    sums_NP: Tensor


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
    `span_mass_reference` on un-rotated keys. At most SPAN_SCRATCH_BYTES of memory; time about half
    of the row's attention. Raises ShapeError.
    """
    if q_TNH.dim() != 3 or k_GSH.dim() != 3 or q_TNH.shape[2] != k_GSH.shape[2]:
        raise ShapeError(f"q is {tuple(q_TNH.shape)}, k {tuple(k_GSH.shape)}: expected TNH, GSH")
    if q_TNH.shape[0] != meta.length or q_TNH.shape[1] % k_GSH.shape[0]:
        raise ShapeError(
            f"q is {tuple(q_TNH.shape)} for {meta.length} rows and {k_GSH.shape[0]} KV heads"
        )
    if any(a >= b for a, b in spans) or any(a[1] > b[0] for a, b in pairwise(spans)):
        raise ShapeError("spans are not ascending, disjoint and non-empty")
    found = [
        _sums(logits_NK, start, spans)
        for start, logits_NK in _logits(q_TNH[-1:], k_GSH, meta, scratch)
    ]
    largest_N1 = torch.stack([piece.largest_N1 for piece in found]).amax(0)
    total_N1 = torch.zeros_like(largest_N1)
    mass_NP = total_N1.new_zeros(q_TNH.shape[1], len(spans))
    for piece in found:
        factor_N1 = torch.exp2(piece.largest_N1 - largest_N1)
        total_N1 += piece.total_N1 * factor_N1
        mass_NP[:, piece.first : piece.first + piece.sums_NP.shape[1]] += piece.sums_NP * factor_N1
    return mass_NP.div_(total_N1)


def _logits(
    q_1NH: Tensor, k_GSH: Tensor, meta: SliceMeta, scratch: AttentionScratch
) -> Iterator[tuple[int, Tensor]]:
    """(first key, base-2 logits [N, K]) of every piece; the next one overwrites it."""
    row = meta.num_keys - 1
    num_groups, _, head_dim = k_GSH.shape
    factor = float(meta.scale_T[-1]) * LOG2_E
    piece = max(1, PIECE_VALUES // (num_groups * head_dim))
    for span in spans_between(0, row + 1, row, meta.geometry):
        tables = meta.query_rotations[span.rotation]
        assert tables is not None
        cos, sin = tables
        q_GRH = rotate(q_1NH, cos[-1:], sin[-1:]).view(num_groups, -1, head_dim)
        at = span.start
        for first, last in meta.runs.pieces(span.start, span.end):
            for k_GKH in k_GSH[:, first:last].split(piece, dim=1):
                yield at, _products(q_GRH, k_GKH, scratch).mul_(factor)
                at += k_GKH.shape[1]


def _products(q_GRH: Tensor, k_GKH: Tensor, scratch: AttentionScratch) -> Tensor:
    """Dot products [N, K], in float32 at least; a pool of another dtype is converted in scratch."""
    if k_GKH.dtype != q_GRH.dtype:
        narrow_GKH = k_GKH
        k_GKH = scratch.take("span keys", tuple(narrow_GKH.shape), q_GRH.dtype).copy_(narrow_GKH)
    shape = (*q_GRH.shape[:2], k_GKH.shape[1])
    out_GRK = torch.bmm(q_GRH, k_GKH.mT, out=scratch.take("span logits", shape, q_GRH.dtype))
    return out_GRK.flatten(0, 1).to(torch.promote_types(out_GRK.dtype, torch.float32))


def _sums(logits_NK: Tensor, start: int, spans: Sequence[tuple[int, int]]) -> _Piece:
    """Sums of keys [start, start + K), as differences of running sums: any number of spans costs
    one pass. Overwrites the logits.
    """
    num_heads, num_keys = logits_NK.shape
    first = bisect_right(spans, start, key=lambda span: span[1])
    after = bisect_left(spans, start + num_keys, key=lambda span: span[0])
    largest_N1 = logits_NK.amax(1, keepdim=True)
    running = logits_NK.new_zeros(num_heads, num_keys + 1, dtype=torch.float64)
    torch.cumsum(logits_NK.sub_(largest_N1).exp2_(), 1, dtype=torch.float64, out=running[:, 1:])
    edges_PE = torch.tensor(spans[first:after], dtype=torch.int64, device=logits_NK.device)
    begin_P, end_P = (edges_PE.view(-1, 2) - start).clamp_(0, num_keys).unbind(1)
    return _Piece(
        largest_N1.double(), running[:, -1:], first, running[:, end_P] - running[:, begin_P]
    )
