"""Cosine and sine tables, and the rotation itself (halves convention of Hugging Face).

Shape letters: T rows, N heads, H head dim, X = H // 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longreach.errors import ShapeError


def cos_sin(positions_T: Tensor, inv_freq_X: Tensor) -> tuple[Tensor, Tensor]:
    """Tables (cos_TX, sin_TX), float32; angles are made and reduced in float64.

    positions_T: integers. inv_freq_X: float64. At position 1e6 a float32 angle would be off by 0.03
    rad.
    """
    angles_TX = positions_T.to(torch.float64)[:, None] * inv_freq_X.to(
        device=positions_T.device, dtype=torch.float64
    )
    return torch.cos(angles_TX).to(torch.float32), torch.sin(angles_TX).to(torch.float32)


def rotate(x_TNH: Tensor, cos_TX: Tensor, sin_TX: Tensor) -> Tensor:
    """Rotate dimension pairs (x, x + H / 2) by the table's angles; computed in float32 or wider.

    x_TNH: [T, H] or [T, N, H]. The tables may have one row, for every row of x. Same dtype as x.
    """
    half = cos_TX.shape[-1]
    if x_TNH.shape[-1] != 2 * half or cos_TX.shape[0] not in (1, x_TNH.shape[0]):
        raise ShapeError(
            f"x is {tuple(x_TNH.shape)} but the tables are {tuple(cos_TX.shape)}: "
            f"expected [{x_TNH.shape[0]} or 1, {x_TNH.shape[-1]} // 2]"
        )
    if x_TNH.dim() == 3:
        cos_TX, sin_TX = cos_TX[:, None], sin_TX[:, None]
    wide = torch.promote_types(x_TNH.dtype, torch.float32)
    first, second = x_TNH[..., :half].to(wide), x_TNH[..., half:].to(wide)
    turned = torch.empty_like(x_TNH)
    turned[..., :half] = first * cos_TX - second * sin_TX
    turned[..., half:] = second * cos_TX + first * sin_TX
    return turned
