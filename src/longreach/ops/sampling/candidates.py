"""The fast twin of reference.py: filters and draw on the few tokens that can be drawn at all.

A token more than 40 below the best scaled logit has a probability under e^-40 of the best one's.
All such tokens of a vocabulary of 152,000 together are drawn less than once in 10^12 times, which
is far below the rounding of the logits, so they are left out first. What remains is sorted in
float64.

Shape letters: V vocabulary, K candidates.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longreach.ops.sampling.noise import gumbel

NEGLIGIBLE = 40.0  # natural log of the odds below which a token is never drawn


def sample_row(
    logits_V: Tensor, *, temperature: float, top_k: int, top_p: float, min_p: float, key: int
) -> int:
    """Draw one token of one row; equals reference.sample.

    logits_V: floating point, -inf where a token is forbidden, at least one finite. temperature > 0;
    top_k <= 0, top_p = 1 and min_p = 0 keep all. key: from noise.draw_key.
    """
    ids_K, scaled_K = candidates(logits_V, temperature, min_p)
    scaled_K = _top_k(scaled_K, top_k)
    if top_p < 1.0:
        scaled_K = _top_p(scaled_K, top_p)
    return int(ids_K[(scaled_K + gumbel(key, ids_K)).argmax()])


def candidates(logits_V: Tensor, temperature: float, min_p: float) -> tuple[Tensor, Tensor]:
    """Ids (int64 [K], rising) and float64 logits / temperature, the best one moved to 0."""
    reach = min(NEGLIGIBLE, -math.log(min_p) if min_p > 0.0 else math.inf)
    best = logits_V.max()
    # a little wider than asked, as this comparison rounds in the dtype of the logits
    ids_K = (logits_V >= best - (reach * 1.01 + 0.01) * temperature).nonzero().squeeze(-1)
    scaled_K = (logits_V[ids_K].double() - best.double()) / temperature
    return ids_K, scaled_K.masked_fill(scaled_K < -reach, -torch.inf)


def _top_k(scaled_K: Tensor, top_k: int) -> Tensor:
    if not 0 < top_k < scaled_K.numel():
        return scaled_K
    kth = scaled_K.topk(top_k).values[-1]
    return scaled_K.masked_fill(scaled_K < kth, -torch.inf)


def _top_p(scaled_K: Tensor, top_p: float) -> Tensor:
    sorted_K = scaled_K.sort(descending=True).values
    probs_K = sorted_K.softmax(-1)
    kept = max(1, int((probs_K.cumsum(-1) - probs_K < top_p).sum()))
    return scaled_K.masked_fill(scaled_K < sorted_K[kept - 1], -torch.inf)
