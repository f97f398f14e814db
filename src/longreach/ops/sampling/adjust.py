"""Changes of logits that come before the temperature, in vLLM's order: masks, bias, penalties.

Each takes [..., V] logits and returns new ones; nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def apply_bitmask(logits_V: Tensor, bitmask_W: Tensor) -> Tensor:
    """Forbid (-inf) every token whose bit is 0.

    bitmask_W: int32 [>= ceil(V / 32)] words, token i is bit i % 32 of word i // 32 (as grammar
    engines write it); tokens past its end are forbidden.
    """
    ids_V = torch.arange(logits_V.shape[-1], device=logits_V.device)
    words_W = bitmask_W.to(logits_V.device, torch.int64)
    inside_V = ids_V < 32 * words_W.numel()
    words_V = words_W[(ids_V >> 5).clamp(max=words_W.numel() - 1)]
    allowed_V = ((words_V >> (ids_V & 31)) & 1).bool() & inside_V
    return logits_V.masked_fill(~allowed_V, -torch.inf)


def ban(logits_V: Tensor, token_ids: Sequence[int]) -> Tensor:
    """Forbid some tokens, unless that would leave none: a mask that allows only these wins."""
    banned_V = logits_V.index_fill(-1, _ids(token_ids, logits_V), -torch.inf)
    return banned_V if bool(banned_V.max() > -torch.inf) else logits_V


def add_bias(logits_V: Tensor, bias: Mapping[int, float]) -> Tensor:
    """Add a value to the logits of some tokens."""
    values_K = torch.tensor(list(bias.values()), dtype=logits_V.dtype, device=logits_V.device)
    return logits_V.index_add(-1, _ids(list(bias), logits_V), values_K)


def apply_penalties(
    logits_V: Tensor,
    prompt_mask_V: Tensor,
    output_counts_V: Tensor,
    *,
    repetition: float,
    presence: float,
    frequency: float,
) -> Tensor:
    """Make tokens seen before less likely, as vLLM defines it.

    prompt_mask_V: bool, tokens of the prompt; output_counts_V: how often each was generated.
    repetition (arXiv 1909.05858): positive logits of tokens seen in prompt or output are divided
    by it, others multiplied. Then logits lose frequency * count + presence * (count > 0), output
    only.
    """
    seen_V = prompt_mask_V | (output_counts_V > 0)
    shrunk_V = torch.where(logits_V > 0, logits_V / repetition, logits_V * repetition)
    logits_V = torch.where(seen_V, shrunk_V, logits_V)
    counts_V = output_counts_V.to(logits_V.dtype)
    return logits_V - frequency * counts_V - presence * (counts_V > 0)


def _ids(token_ids: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(list(token_ids), dtype=torch.long, device=like.device)
