"""The truth of sampling: every step on whole [B, V] logits, in float64, with sorts.

Order, as in vLLM: temperature, min_p, top_k, top_p, draw. Each filter sees the distribution that
the ones before it left, renormalised. Tokens with equal logits are kept or dropped together.

Shape letters: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longreach.ops.sampling.noise import gumbel


def filter_min_p(logits_BV: Tensor, min_p_B: Tensor) -> Tensor:
    """Drop (-inf) the tokens less probable than min_p times the best one (arXiv 2407.01082)."""
    best_B1 = logits_BV.max(-1, keepdim=True).values
    return logits_BV.masked_fill(logits_BV - best_B1 < min_p_B.log()[:, None], -torch.inf)


def filter_top_k(logits_BV: Tensor, top_k_B: Tensor) -> Tensor:
    """Drop the tokens with k or more better ones. top_k <= 0 keeps all."""
    vocab_size = logits_BV.shape[-1]
    k_B1 = torch.where(top_k_B <= 0, vocab_size, top_k_B).clamp(max=vocab_size)[:, None]
    kth_B1 = logits_BV.sort(-1, descending=True).values.gather(-1, k_B1 - 1)
    return logits_BV.masked_fill(logits_BV < kth_B1, -torch.inf)


def filter_top_p(logits_BV: Tensor, top_p_B: Tensor) -> Tensor:
    """Drop the tokens whose better ones already hold top_p of the mass (arXiv 1904.09751)."""
    sorted_BV = logits_BV.sort(-1, descending=True).values
    probs_BV = sorted_BV.softmax(-1)
    before_BV = probs_BV.cumsum(-1) - probs_BV
    kept_B1 = (before_BV < top_p_B[:, None]).sum(-1, keepdim=True).clamp(min=1)
    return logits_BV.masked_fill(logits_BV < sorted_BV.gather(-1, kept_B1 - 1), -torch.inf)


def filtered(
    logits_BV: Tensor, temperature_B: Tensor, top_k_B: Tensor, top_p_B: Tensor, min_p_B: Tensor
) -> Tensor:
    """float64 logits of the distribution that is drawn from. temperature above 0."""
    scaled_BV = logits_BV.double() / temperature_B.double()[:, None]
    scaled_BV = filter_min_p(scaled_BV, min_p_B.double())
    scaled_BV = filter_top_k(scaled_BV, top_k_B)
    top_p_BV = filter_top_p(scaled_BV, top_p_B.double())
    return torch.where(top_p_B[:, None] < 1, top_p_BV, scaled_BV)


def sample(
    logits_BV: Tensor,
    temperature_B: Tensor,
    top_k_B: Tensor,
    top_p_B: Tensor,
    min_p_B: Tensor,
    keys: Sequence[int],
) -> list[int]:
    """One token per row by the Gumbel maximum: argmax of logit + noise has the softmax's law."""
    kept_BV = filtered(logits_BV, temperature_B, top_k_B, top_p_B, min_p_B)
    ids_V = torch.arange(kept_BV.shape[-1], device=kept_BV.device)
    rows = zip(kept_BV, keys, strict=True)
    return [int((row_V + gumbel(key, ids_V)).argmax()) for row_V, key in rows]
