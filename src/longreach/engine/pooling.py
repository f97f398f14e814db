"""One vector for a whole prompt: the mean of its final hidden states, or the last one.

Shape letters: T rows of a slice, D hidden size.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from longreach.errors import InvalidRequestError

Pooling = Literal["mean", "last"]


def as_pooling(name: str) -> Pooling:
    """Raises InvalidRequestError for other names."""
    if name not in get_args(Pooling):
        raise InvalidRequestError("pooling", name, "mean or last")
    return "last" if name == "last" else "mean"


class Pooler:
    """Gathers a prompt's rows slice by slice; rows that come again (preemption) count once."""

    def __init__(self, pooling: Pooling) -> None:
        self.pooling = pooling
        self._sum_D: Tensor | None = None
        self._num_rows = 0

    def num_wanted(self, num_rows: int, *, is_last: bool) -> int:
        """How many of the last rows of a slice `add` needs."""
        return num_rows if self.pooling == "mean" else int(is_last)

    def add(self, hidden_TD: Tensor, start: int) -> None:
        """The wanted rows of a slice that begins at `start`; the slices before it have come."""
        if self.pooling == "last":
            self._sum_D = hidden_TD[-1].float() if len(hidden_TD) else None
            return
        new_TD = hidden_TD[self._num_rows - start :].float()
        self._num_rows += len(new_TD)
        sum_D = new_TD.sum(0, dtype=torch.float64)
        self._sum_D = sum_D if self._sum_D is None else self._sum_D + sum_D

    def vector(self) -> tuple[float, ...]:
        """Of L2 norm 1 (or all zeros), once the whole prompt has come."""
        assert self._sum_D is not None, "no row has come"
        vector_D = torch.nn.functional.normalize(self._sum_D.double(), dim=0)
        return tuple(vector_D.tolist())
