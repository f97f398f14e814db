"""The truth: one softmax over remapped distances, as plainly as torch can say it.

Shape letters: T query rows, S keys, N query heads, G kv heads, H head dim.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from longreach.config import TemperatureMode
from longreach.ops.dca import DualChunk, temperature


def attention_reference(
    q_TNH: Tensor,
    k_SGH: Tensor,
    v_SGH: Tensor,
    *,
    start: int,
    geometry: DualChunk,
    inv_freq: Tensor,
    attention_factor: float = 1.0,
    original_max_position: int = 0,
    temperature_mode: TemperatureMode = "position",
    request_length: int | None = None,
    allowed_GTS: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of rows [start, start + T) over keys [0, S) with the distances of dual chunk
    attention.

    logit(i, j) = f_i^2 a^2 / sqrt(H) * sum_x [(q1 k1 + q2 k2) cos(M w) + (q1 k2 - q2 k1) sin(M w)]
    with M = geometry.distance(i, j), keys j > i left out. q, k, v: un-rotated, any float dtype;
    computed in it. allowed_GTS: bool, keys a sparse pattern keeps (None: all). Memory is O(T S H):
    for tests. Returns out_TNH and lse_TN (natural log), both in q's dtype; rows without keys give 0
    and -inf.
    """
    num_rows, num_heads, head_dim = q_TNH.shape
    num_keys, num_kv_heads, _ = k_SGH.shape
    rows_T = torch.arange(start, start + num_rows, device=q_TNH.device)
    keys_S = torch.arange(num_keys, device=q_TNH.device)
    distance_TS = geometry.distance(rows_T[:, None], keys_S[None, :])
    angle_TSX = distance_TS[..., None].to(torch.float64) * inv_freq.to(q_TNH.device, torch.float64)
    cos_TSX, sin_TSX = angle_TSX.cos().to(q_TNH.dtype), angle_TSX.sin().to(q_TNH.dtype)
    factor_T = temperature(rows_T, original_max_position, temperature_mode, request_length)
    scale_T = (factor_T.square() * attention_factor**2 / math.sqrt(head_dim)).to(q_TNH.dtype)
    causal_TS = keys_S[None, :] <= rows_T[:, None]
    out_TNH = torch.empty_like(q_TNH)
    lse_TN = q_TNH.new_empty(num_rows, num_heads)
    for head in range(num_heads):
        group = head // (num_heads // num_kv_heads)
        logits_TS = _remapped_dot(q_TNH[:, head], k_SGH[:, group], cos_TSX, sin_TSX)
        seen_TS = causal_TS if allowed_GTS is None else causal_TS & allowed_GTS[group]
        logits_TS = (logits_TS * scale_T[:, None]).masked_fill(~seen_TS, -math.inf)
        weights_TS = torch.softmax(logits_TS, dim=1).nan_to_num(0.0)
        out_TNH[:, head] = weights_TS @ v_SGH[:, group]
        lse_TN[:, head] = torch.logsumexp(logits_TS, dim=1)
    return out_TNH, lse_TN


def _remapped_dot(q_TH: Tensor, k_SH: Tensor, cos_TSX: Tensor, sin_TSX: Tensor) -> Tensor:
    half = q_TH.shape[1] // 2
    q1, q2 = q_TH[:, None, :half], q_TH[:, None, half:]
    k1, k2 = k_SH[None, :, :half], k_SH[None, :, half:]
    even_TS = ((q1 * k1 + q2 * k2) * cos_TSX).sum(-1)
    odd_TS = ((q1 * k2 - q2 * k1) * sin_TSX).sum(-1)
    return even_TS + odd_TS
