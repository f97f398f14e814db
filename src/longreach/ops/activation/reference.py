"""The truth: SwiGLU's gate in float64.

Shape letters: R rows, F features of the gate and of the input each.
"""

from __future__ import annotations

from torch import Tensor


def silu_mul_reference(gate_up_RF: Tensor) -> Tensor:
    """The gate silu(gate) * up for gate_up = [gate | up] along the last axis (arXiv 2002.05202)."""
    gate_RF, up_RF = gate_up_RF.double().chunk(2, dim=-1)
    return gate_RF * gate_RF.sigmoid() * up_RF
