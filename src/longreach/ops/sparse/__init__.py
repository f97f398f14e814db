"""Which keys a segment of rows keeps: adaptive, by a fixed budget, or by Qwen's tables.

Every way looks at a few rows of the segment only, streams over the keys in memory O(keys), and
reports the recall it measured on rows that had no part in the choice.
"""

from longreach.ops.pattern import GroupPattern, Pattern
from longreach.ops.sparse.adaptive import select_adaptive
from longreach.ops.sparse.budget import select_budget
from longreach.ops.sparse.fixed import segments, select_fixed
from longreach.ops.sparse.masses import NUM_LOCAL_KEYS
from longreach.ops.sparse.recall import measure_recall, measure_recalls, row_recall
from longreach.ops.sparse.selection import Selection

__all__ = [
    "NUM_LOCAL_KEYS",
    "GroupPattern",
    "Pattern",
    "Selection",
    "measure_recall",
    "measure_recalls",
    "row_recall",
    "segments",
    "select_adaptive",
    "select_budget",
    "select_fixed",
]
