"""The attention used in training, through transformers' attention interface.

It adds two things to plain causal attention. Both buy quality at lengths never trained:

- *temperature*: the logits of row i are multiplied by a factor drawn per step, as serving
  multiplies them by f(i+1)^2 beyond the trained length (2.6 at a million tokens for 2048 trained).
  A model that never saw sharpened logits mixes neighbours in other shares than it was trained with.
- *reach*: the softmax mass that sampled document rows would place outside sinks and a local window
  if the far part of the document were `stretch` times as long, with more of the same. Added to the
  loss, it leaves far reading to the rows that answer. Then what is cached for a document does not
  depend on how long it is, and prefill needs few columns. A head that places 0.002 of its mass far
  away at 2048 tokens places half of it there when stretched 500 times, to a million.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F
from transformers import AttentionInterface

NAME = "needle_training"


@dataclass
class Step:
    """What one training step asks of attention.

    factors [T]: of the logits, per row, or None. rows [B, R]: whose reach is measured, or None.
    reach: filled in by the layers, one scalar each.
    """

    factors: torch.Tensor | None = None
    rows: torch.Tensor | None = None
    num_sinks: int = 8
    window: int = 256
    stretch: float = 1.0
    reach: list[torch.Tensor] = field(default_factory=list)


current = Step()


def attend(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):  # noqa: ANN001, ANN003, ANN201, ARG001
    """Transformers' attention signature. query [B, N, T, H], key and value [B, G, T, H]."""
    step = current
    if step.factors is not None:
        query = query * step.factors.to(query.dtype)[:, None]
    if step.rows is not None:
        step.reach.append(_reach(query, key, scaling, step))
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    return out.transpose(1, 2).contiguous(), None


def _reach(query: torch.Tensor, key: torch.Tensor, scaling: float, step: Step) -> torch.Tensor:
    """Mean stretched mass of the sampled rows outside the sinks and the local window, a scalar."""
    batch, heads, _, dim = query.shape
    groups = key.shape[1]
    index = step.rows[:, None, :, None].expand(-1, heads, -1, dim)
    rows = query.gather(2, index).view(batch, groups, -1, dim)
    logits = (rows @ key.transpose(-1, -2)).float() * scaling
    logits = logits.view(batch, heads, -1, key.shape[2])
    gap = step.rows[:, None, :, None] - torch.arange(key.shape[2])
    far = (gap > step.window) & (torch.arange(key.shape[2]) >= step.num_sinks)
    near = (gap >= 0) & ~far
    odds = _log_sum(logits, far) - _log_sum(logits, near)
    return torch.sigmoid(odds + math.log(step.stretch)).mean()


def _log_sum(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Log of the summed weights of the wanted keys; very small, not -inf, where there is none."""
    return logits.masked_fill(~wanted, -1e4).logsumexp(-1)


AttentionInterface.register(NAME, attend)
