"""The twin for every device.

Shape letters: R rows, F features of the gate and of the input each.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def silu_mul(gate_up_RF: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The gate silu(gate) * up for gate_up = [gate | up] along the last axis.

    The gate half of `gate_up_RF` is used as scratch and holds silu(gate) afterwards.
    """
    gate_RF, up_RF = gate_up_RF.chunk(2, dim=-1)
    F.silu(gate_RF, inplace=True)
    return torch.mul(gate_RF, up_RF, out=out)
