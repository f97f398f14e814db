"""A pattern that later slices of its segment use, and how long they may.

Shape letters: N query heads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from longreach.ops.pattern import Pattern

CHECK_EVERY = 1024
"""Rows that one measurement of recall speaks for, where slices are smaller."""
LOOK_ROWS = 32
"""Rows whose scores a small slice computes to choose: two passes over 8, one over 16 others."""
STAGGER = 8
"""Layers that choose together measure again in turn, so that no step does it for all of them."""


@dataclass(frozen=True)
class CarriedPattern:
    """A layer's pattern after a slice chose it or measured it again.

    start, stop: the rows it was chosen on. recall_N: as last measured. checked: the row up to
    which that may speak. as_of: end of the slice that made this state. keeps_newer: keys from
    `stop` on are all kept, until rows that were measured without them reach the target.
    """

    pattern: Pattern
    start: int
    stop: int
    recall_N: Tensor
    checked: int
    as_of: int
    keeps_newer: bool = True

    @property
    def has_dense_groups(self) -> bool:
        """Whether a group attends to everything; looking again may find it a pattern."""
        return any(group is None for group in self.pattern.groups)

    def is_due(self, stop: int) -> bool:
        """Whether rows up to `stop` are more than the last measurement speaks for."""
        return stop > self.checked

    def reaches(self, stop: int, segment_rows: int) -> bool:
        """Whether rows up to `stop` belong to its segment, and newer keys cost less than a choice.

        Newer keys are kept by every row since the choice: half their square in all.
        """
        newer = stop - self.stop
        cheap = not self.keeps_newer or newer * newer <= 2 * LOOK_ROWS * stop
        return cheap and stop - self.start <= segment_rows

    def up_to(self, stop: int) -> Pattern:
        """What rows up to `stop` keep."""
        return self.pattern.carried(self.stop, stop) if self.keeps_newer else self.pattern

    def without_newer(self) -> CarriedPattern:
        """The pattern as it was chosen: its columns and diagonals alone."""
        return replace(self, keeps_newer=False)

    def measured(self, recall_N: Tensor, stop: int) -> CarriedPattern:
        """After a slice up to `stop` found this recall."""
        return replace(self, recall_N=recall_N, checked=stop + CHECK_EVERY, as_of=stop)


def chosen(
    pattern: Pattern, recall_N: Tensor, rows: range, layer: int, target: float
) -> CarriedPattern:
    """What the slice of these rows chose in a layer; measured again at once if below the target."""
    stop = rows.stop
    made = CarriedPattern(pattern, rows.start, stop, recall_N, checked=stop, as_of=stop)
    if float(recall_N.min()) < target:
        return made
    soon = CHECK_EVERY * (layer % STAGGER + 1) // STAGGER
    return replace(made, checked=stop + (CHECK_EVERY if made.has_dense_groups else soon))
