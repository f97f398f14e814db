"""What a selection hands back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from longreach.ops.pattern import Pattern


@dataclass(frozen=True, eq=False)
class Selection:
    """A pattern for one segment, and what it keeps.

    recall_N: float32, per query head, the mean share of softmax mass kept in rows that had no part
    in the choice; 1 for dense groups. density_G: computed over causal pairs of the segment, per KV
    group.
    """

    pattern: Pattern
    recall_N: Tensor
    density_G: Tensor

    @property
    def recall_min(self) -> float:
        """Recall of the worst head."""
        return float(self.recall_N.min())

    @property
    def recall_mean(self) -> float:
        """Recall over all heads."""
        return float(self.recall_N.mean())

    @property
    def density(self) -> float:
        """Computed over causal pairs, all groups."""
        return float(self.density_G.mean())
