"""What a prompt will cost, before it runs: memory by plan, time by a short calibration.

The calibration runs the very operations of the engine, on a slice of the model's own shape: one
layer's linear work, dense attention of a block of rows, and one selection.
"""

from __future__ import annotations

from dataclasses import dataclass
from longreach.engine.memory import MemoryPlan


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of one prompt. plan: bytes by part."""

    num_tokens: int
    plan: MemoryPlan


def estimate_engine(engine, num_tokens):
    raise AssertionError
