"""The attention temperature of texts longer than the trained length."""

from __future__ import annotations

import torch
from torch import Tensor

from longreach.config import TemperatureMode


def temperature(
    rows: Tensor, original_max_position: int, mode: TemperatureMode, length: int | None = None
) -> Tensor:
    """Factor f of each query row; logits are multiplied by f squared.

    f(n) = max(1, 0.1 ln(n / T0) + 1) (Qwen2.5-1M report, equation 1), with T0 the trained length
    (original_max_position; 0 switches it off). "position": n is the number of keys the row sees, so
    the row does not depend on how long the prompt becomes. "length": n is the request's length, as
    earlier engines did. Keys are never scaled.

    rows: int64, absolute positions. Returns float64 of the same shape.
    """
    if mode not in ("position", "length", "off"):
        raise ValueError(f"temperature mode is {mode!r}: expected 'position', 'length' or 'off'")
    if mode == "off" or original_max_position <= 0:
        return torch.ones(rows.shape, dtype=torch.float64, device=rows.device)
    if mode == "position":
        seen = rows.to(torch.float64) + 1
    elif length is None:
        raise ValueError("temperature mode 'length' needs the request's length")
    else:
        seen = torch.full(rows.shape, float(length), dtype=torch.float64, device=rows.device)
    return (0.1 * torch.log(seen / original_max_position) + 1).clamp(min=1.0)
