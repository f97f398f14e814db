"""The fast twin of reference.py: tokens that cannot be drawn are left out before any sort.

Shape letters: V vocabulary, K candidates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longreach.ops.sampling.noise import gumbel


def sample_row(
    logits_V: Tensor, *, temperature: float, top_k: int, top_p: float, min_p: float, key: int
) -> int:
    """Draw one token of one row; equals reference.sample.

    logits_V: floating point, -inf where a token is forbidden, at least one finite. temperature > 0;
    top_k <= 0, top_p = 1 and min_p = 0 keep all. key: from noise.draw_key.
    """
    best = logits_V.max().double()
    ids_K = torch.arange(logits_V.numel(), device=logits_V.device)
    if 0 < top_k < logits_V.numel():
        ids_K = ids_K[logits_V >= logits_V.topk(top_k).values[-1]]
        logits_V = logits_V[ids_K]
    scaled_K = (logits_V.double() - best) / temperature
    if min_p > 0.0:
        ids_K, scaled_K = _select(scaled_K >= math.log(min_p), ids_K, scaled_K)
    if top_p < 1.0:
        ids_K, scaled_K = _select(_nucleus(scaled_K, top_p), ids_K, scaled_K)
    return int(ids_K[(scaled_K + gumbel(key, ids_K)).argmax()])


def _select(kept_K: Tensor, ids_K: Tensor, scaled_K: Tensor) -> tuple[Tensor, Tensor]:
    indices = kept_K.nonzero().squeeze(-1)
    return ids_K[indices], scaled_K[indices]


def _nucleus(scaled_K: Tensor, top_p: float) -> Tensor:
    """Mask [K] of the tokens whose better ones hold less than top_p of the mass.

    Tokens of a probability up to (1 - top_p) / K hold at most 1 - top_p together, so all of them
    are out; the same argument is repeated with the K and the mass that are left. The rest, few by
    then unless the distribution is flat, is sorted.
    """
    probs_K = scaled_K.softmax(-1)
    left_L, spare = probs_K, 1.0 - top_p
    for _ in range(4):
        out_L = left_L <= (1.0 - 1e-9) * spare / left_L.numel()
        spare -= float(left_L[out_L].sum())
        left_L = left_L[~out_L]
    sorted_L = left_L.sort(descending=True).values
    kept = max(1, int((sorted_L.cumsum(-1) - sorted_L < top_p).sum()))
    return probs_K >= sorted_L[kept - 1]
