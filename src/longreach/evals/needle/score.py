"""Scoring: is the planted value in what the model said?"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence


def contains_value(output: str, value: str) -> bool:
    """Whether the value stands in the output as a whole word or number (288 is not in 28884).

    Case, markup ("_amber_") and scripts without spaces around it do not matter. A part of a name
    ("harbor" in "quiet-harbor", which the question itself holds) or of a decimal is not the value.
    """
    before, after = r"(?<![a-z0-9])(?<![a-z0-9]-)(?<!\d\.)", r"(?!-?[a-z0-9])(?!\.\d)"
    return re.search(before + re.escape(value.lower()) + after, output.lower()) is not None


def score(output: str, answer: Sequence[str]) -> float:
    """The share of the answer's values found in the output, 0 to 1 (RULER's, of whole words)."""
    return sum(contains_value(output, value) for value in answer) / len(answer)


def wilson_interval(successes: float, total: int, *, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a share (95 % by default), clipped to [0, 1]."""
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
