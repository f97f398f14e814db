"""How a page was computed, and which requests it may serve."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What is known about the attention that made a page; also what a request wants.

    mode: "dense", or the sparse mode ("fixed", "adaptive", "budget").
    target: recall that the mode promises, in [0, 1]; 0 for modes that promise none.
    budget: (columns, diagonals) where the caller fixed them, else ().
    selection_version: version of the selection rule; older pages do not serve newer wishes.
    recall_min, recall_mean: as measured on the rows of the page; they decide nothing.
    """

    mode: str = "dense"
    target: float = 1.0
    budget: tuple[int, ...] = ()
    selection_version: int = 0
    recall_min: float = 1.0
    recall_mean: float = 1.0

    @property
    def is_dense(self) -> bool:
        """Whether every key was kept: a target of 1 is the full budget, by definition."""
        return self.mode == "dense" or self.target >= 1.0

    def serves(self, wanted: Provenance) -> bool:
        """Whether a request that wants `wanted` may read a page made like this.

        Dense serves all. A sparse page serves requests of its own mode whose target and budget
        are not higher; modes are not compared, since `fixed` and `budget` promise no recall.
        """
        if self.is_dense:
            return True
        if wanted.is_dense or self.mode != wanted.mode or len(self.budget) != len(wanted.budget):
            return False
        return (
            self.target >= wanted.target
            and self.selection_version >= wanted.selection_version
            and all(have >= want for have, want in zip(self.budget, wanted.budget, strict=True))
        )

    def after(self, prefix: Provenance) -> Provenance:
        """The provenance of rows made like `self` that read keys made like `prefix`.

        Keys of upper layers depend on all earlier rows, so the promise is the weaker one (dense
        rows over a sparse prefix are sparse); the measured recall stays that of the own rows.
        """
        if prefix.serves(self):
            return self
        return replace(prefix, recall_min=self.recall_min, recall_mean=self.recall_mean)

    def mixed_with(self, other: Provenance) -> Provenance:
        """`self`, for a page of which `other` made the first rows: both recalls count."""
        return replace(
            self,
            recall_min=min(self.recall_min, other.recall_min),
            recall_mean=(self.recall_mean + other.recall_mean) / 2,
        )


DENSE = Provenance()
