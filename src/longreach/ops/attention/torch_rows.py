"""Attention of one row (decode) by torch's fused CPU kernel, one call per contiguous key range.

The query heads of a kv group are the rows of the kernel, so K and V are read once. Partial results
are merged by their log-sum-exp in float32.

Shape letters: N query heads, G kv heads, R = N // G, S physical slots, K keys of a piece, H head
dim.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from longreach.ops.attention import fused
from longreach.ops.attention.blocks import spans_between
from longreach.ops.attention.meta import SliceMeta
from longreach.ops.attention.scratch import AttentionScratch
from longreach.ops.pattern import Pattern
from longreach.ops.rope import rotate

MAX_PIECES = 64
CONVERTED_KEYS = 2**13
"""Keys of one call where the pool has another dtype than the query: converted in scratch."""


def supports(q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, pattern: Pattern | None) -> str | None:
    """None when this twin can run the arguments, otherwise why not."""
    if meta.length != 1:
        return f"the slice has {meta.length} rows, not 1"
    if pattern is not None:
        return "there is a sparse pattern"
    if q_TNH.device.type != "cpu" or fused.KERNEL is None:
        return f"torch {torch.__version__} has no fused kernel for {q_TNH.device.type}"
    if q_TNH.dtype not in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        return f"dtype {q_TNH.dtype} is not a float"
    if len(meta.runs) > MAX_PIECES:
        return f"the keys lie in more than {MAX_PIECES} runs"
    return None


def attend(
    q_TNH: Tensor,
    k_GSH: Tensor,
    v_GSH: Tensor,
    meta: SliceMeta,
    pattern: Pattern | None,
    scratch: AttentionScratch,
    out_TNH: Tensor,
    lse_TN: Tensor | None,
) -> None:
    """Write attention of the slice's one row into out_TNH, and its log-sum-exp into lse_TN."""
    assert fused.KERNEL is not None
    outs: list[Tensor] = []
    lses: list[Tensor] = []
    row = meta.start
    for span in spans_between(0, row + 1, row, meta.geometry):
        tables = meta.query_rotations[span.rotation]
        assert tables is not None
        q_GRH = rotate(q_TNH, *tables).view(k_GSH.shape[0], -1, k_GSH.shape[2])
        for first, last in meta.runs.pieces(span.start, span.end):
            for k_GKH, v_GKH in _parts(k_GSH[:, first:last], v_GSH[:, first:last], q_GRH, scratch):
                out, lse = fused.KERNEL(q_GRH[None], k_GKH[None], v_GKH[None], scale=meta.scale)
                outs.append(out)
                lses.append(lse)
    out, lse = (outs[0], lses[0]) if len(outs) == 1 else _merge(outs, lses)
    out_TNH.copy_(out.reshape(out_TNH.shape))
    if lse_TN is not None:
        lse_TN.copy_(lse.reshape(lse_TN.shape))


def _parts(
    k_GKH: Tensor, v_GKH: Tensor, q_GRH: Tensor, scratch: AttentionScratch
) -> Iterator[tuple[Tensor, Tensor]]:
    """Keys and values in the query's dtype: as they are, or piece by piece in scratch."""
    if k_GKH.dtype == q_GRH.dtype:
        yield k_GKH, v_GKH
        return
    for pair in zip(k_GKH.split(CONVERTED_KEYS, 1), v_GKH.split(CONVERTED_KEYS, 1), strict=True):
        k_GPH, v_GPH = (
            scratch.take(name, tuple(part.shape), q_GRH.dtype).copy_(part)
            for name, part in zip(("row keys", "row values"), pair, strict=True)
        )
        yield k_GPH, v_GPH


def _merge(outs: list[Tensor], lses: list[Tensor]) -> tuple[Tensor, Tensor]:
    """One softmax out of the softmaxes over disjoint keys."""
    lse_P = torch.stack(lses)
    total = torch.logsumexp(lse_P, dim=0)
    weights_P = torch.exp(lse_P - total)[..., None]
    return (torch.stack(outs) * weights_P).sum(dim=0), total
