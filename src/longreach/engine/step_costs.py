"""How long steps take, measured as they run; how many prompt rows fit a wished time.

seconds = base + row_s * rows + pair_s * pairs        pairs: each row times the keys before it
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

MIN_PROMPT_ROWS = 64
"""What a prompt gets of each step, whatever the budget: it must come to its end."""
KEPT_STEPS, LATEST_STEPS = 32, 5
GROWTH = 2

Step = tuple[int, int, float]
"""Rows, pairs, seconds."""


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Seconds of a step; every part is at least 0."""

    base_s: float = 0.0
    row_s: float = 0.0
    pair_s: float = 0.0

    def seconds(self, rows: float, pairs: float) -> float:
        """Of a step with so many rows and pairs."""
        return self.base_s + self.row_s * rows + self.pair_s * pairs

    def rows_within(self, seconds: float, start: int, decodes: Sequence[int]) -> float:
        """Rows of a prompt that is read up to `start`, beside decodes with so many keys each."""
        left = seconds - self.seconds(len(decodes), sum(decodes))
        row = self.row_s + self.pair_s * start
        return left / row if row > 0 else float("inf")


class StepCosts:
    """The last KEPT_STEPS steps that read prompts, as many others, and what they say of the next.

    Apart, or a long answer would make us forget what reading costs.
    """

    def __init__(self) -> None:
        self._reading: deque[Step] = deque(maxlen=KEPT_STEPS)
        self._decoding: deque[Step] = deque(maxlen=KEPT_STEPS)
        self._model: CostModel | None = None

    def observe(self, rows: int, pairs: int, seconds: float) -> None:
        """A step was run."""
        kept = self._reading if rows >= MIN_PROMPT_ROWS else self._decoding
        kept.append((rows, pairs, seconds))
        self._model = None

    @property
    def model(self) -> CostModel:
        """Fitted to the steps kept."""
        if self._model is None:
            self._model = fit([*self._reading, *self._decoding])
        return self._model

    @property
    def slowness(self) -> float:
        """How much longer the last few steps that read took than the model says of them.

        Their median: the model is straight and machines are not, but one slow step is chance.
        """
        latest = list(self._reading)[-LATEST_STEPS:]
        told = [(seconds, self.model.seconds(rows, pairs)) for rows, pairs, seconds in latest]
        return median([seconds / said for seconds, said in told if said > 0] or [1.0])

    @property
    def most_rows(self) -> int:
        """Of any step kept: beyond GROWTH times that, the model is not trusted."""
        return max((rows for rows, _, _ in self._reading), default=0)


def fit(steps: Sequence[Step]) -> CostModel:
    """Least squares over (rows, pairs, seconds), without parts that would be negative.

    Each step weighs as its relative error does, so a rare slow one does not rule the rest.
    """
    if not steps:
        return CostModel()
    table = np.asarray(steps, np.float64)
    features = np.column_stack([np.ones(len(table)), table[:, 0], table[:, 1]])
    seconds = np.maximum(table[:, 2], 1e-9)
    parts = [0, 1, 2]
    while parts:
        scaled = features[:, parts] / seconds[:, None]
        found, *_ = np.linalg.lstsq(scaled, np.ones(len(scaled)), rcond=None)
        if (found >= 0).all():
            break
        parts.pop(int(found.argmin()))
    values = dict(zip(parts, found.tolist(), strict=True)) if parts else {}
    return CostModel(base_s=values.get(0, 0.0), row_s=values.get(1, 0.0), pair_s=values.get(2, 0.0))


class InterTokenBudget:
    """Most prompt rows of a step, so that answers go on every `budget_s` or so."""

    def __init__(self, budget_s: float, costs: StepCosts) -> None:
        self._budget_s = budget_s
        self._costs = costs

    def __call__(self, start: int, decodes: Sequence[int]) -> int:
        """For prompts of which the oldest is read up to `start`; decodes: keys of each answer.

        Never below MIN_PROMPT_ROWS.
        """
        costs = self._costs
        seconds = self._budget_s / costs.slowness
        rows = costs.model.rows_within(seconds, start, decodes)
        known = GROWTH * max(costs.most_rows, MIN_PROMPT_ROWS // GROWTH)
        return int(min(max(rows, MIN_PROMPT_ROWS), known))
