"""What attention needs to know of a sparse pattern; `ops.sparse` makes objects of this form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class GroupKeys(Protocol):
    """Keys kept by all query heads of one kv group.

    Row i keeps key j <= i when j is one of `columns`, or when i // tile - j // tile is one of
    `tile_diagonals`; nothing else. Both are sorted, without repeats, int64; tile_diagonals starts with 0.
    """

    @property
    def columns(self) -> Tensor: ...
    @property
    def tile_diagonals(self) -> Tensor: ...
    @property
    def tile(self) -> int: ...


class KeptKeys(Protocol):
    """One GroupKeys per kv head, None where the group is dense."""

    @property
    def groups(self) -> Sequence[GroupKeys | None]: ...
