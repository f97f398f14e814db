"""A fixed budget of keys per row, placed by the same streamed scores as the adaptive choice."""

from __future__ import annotations

from torch import Tensor

from longreach.errors import InvalidRequestError
from longreach.ops.pattern import TILE, GroupPattern, causal_pairs, kept_pairs
from longreach.ops.sparse.masses import FORCED_DIAGONALS, NUM_SINKS
from longreach.ops.sparse.ranking import make_pattern
from longreach.ops.sparse.segment import GroupScores, check_shapes, dense_selection, select_groups
from longreach.ops.sparse.selection import Selection
from longreach.ops.sparse.stream import Slice


def select_budget(
    q_TNH: Tensor, k_GSH: Tensor, meta: Slice, *, columns: int, diagonals: int, seed: int = 0
) -> Selection:
    """A pattern of columns + diagonals keys per row, the forced ones included.

    diagonals is rounded up to whole tile diagonals, and the columns are what is left of the sum;
    neither goes below the forced ones (30 columns, 2 tile diagonals). Where the sum reaches every
    key: dense. Arguments as `select_adaptive`. Raises InvalidRequestError for a negative number.
    """
    for field, value in (("columns", columns), ("diagonals", diagonals)):
        if value < 0:
            raise InvalidRequestError(field, value, "0 or more keys per row")
    check_shapes(q_TNH, k_GSH, meta)
    rows = range(meta.start, meta.start + meta.length)
    if columns + diagonals >= rows.stop:
        return dense_selection(q_TNH.shape[1], k_GSH.shape[0], k_GSH.device)
    num_diagonals = max(FORCED_DIAGONALS, -(-diagonals // TILE))
    num_columns = max(NUM_SINKS, columns + diagonals - num_diagonals * TILE)

    def choose(scores: GroupScores) -> GroupPattern | None:
        more_columns = _best(scores.column_KR, NUM_SINKS, num_columns)
        more_diagonals = _best(scores.choosing.diagonal_DR, FORCED_DIAGONALS, num_diagonals)
        group = make_pattern(more_columns, more_diagonals, rows.stop)
        return group if kept_pairs(group, rows) < causal_pairs(rows) else None

    return select_groups(q_TNH, k_GSH, meta, choose, seed)


def _best(mass_ER: Tensor, forced: int, count: int) -> Tensor:
    """Indices after the forced ones with the largest mass over the heads, `count` with them."""
    value_E = mass_ER.amax(1)[forced:]
    count = min(count - forced, value_E.numel())
    return value_E.topk(max(count, 0)).indices + forced
