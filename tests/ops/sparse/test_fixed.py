"""Qwen's rule: what we keep holds all that the rule keeps, and the rule is obeyed to the line."""

import pytest
import torch

from longreach.errors import ShapeError
from longreach.ops.pattern import keep_mask
from longreach.ops.sparse import segments, select_fixed
from longreach.ops.sparse.fixed import _selection_queries, line_masses
from longreach.ops.sparse.stream import ScoreStream

CASES = {
    "plain": {"length": 500},
    "one chunk in, pages": {"length": 90, "start": 310, "chunk": 200, "scattered": True},
    "two chunks in": {"length": 150, "start": 450, "chunk": 200, "cap": 220},
    "crosses edges": {"length": 333, "start": 150, "chunk": 128, "heads": 4, "groups": 2},
    "few rows": {"length": 5, "start": 395, "chunk": 130},
    "one row": {"length": 1, "start": 300, "chunk": 400},
    "group of 7": {"length": 200, "heads": 7},
}
LAST_Q = 16


def rule(case, head, segment, vertical, slash):
    """SPEC c.3 in float64: (columns, offsets) and their scores, straight from the formulas."""
    rows = list(segment)[-LAST_Q:]
    positions = case.geometry.selection_positions(torch.tensor(rows))
    num_keys = segment.stop
    p = case.probabilities(head, rows, positions)
    v = p.sum(0)
    s = torch.zeros(num_keys, dtype=torch.float64)
    for a in range(len(rows)):
        shift = len(rows) - 1 - a
        s[shift:] += p[a, : num_keys - shift]
    scores = v.clone(), s.clone()
    v[:30] = torch.inf
    s[max(0, num_keys - 100) :] = torch.inf
    vertical = 130 if vertical == 30 else vertical
    columns = v.topk(min(vertical, num_keys)).indices
    offsets = num_keys - 1 - s.topk(min(slash, num_keys)).indices
    return columns, offsets, scores


@pytest.mark.parametrize("name", CASES)
def test_line_masses_are_the_rule_scores(make_case, name):
    """Mass by column and by diagonal equals the formulas of the rule, for every head."""
    case = make_case(**CASES[name], sharpness=2.0, original_max_position=100)
    num_groups, size = case.pool_GSH.shape[0], case.q.shape[1] // case.pool_GSH.shape[0]
    for segment in segments(case.start, len(case.rows), case.geometry.chunk_len):
        rows = segment[-LAST_Q:]
        queries = _selection_queries(case.q, case.meta, rows, case.inv_freq)
        for group in range(num_groups):
            stream = ScoreStream(case.pool_GSH[group], case.meta, queries, group, num_groups)
            columns, lines = line_masses(stream)
            for head in range(size):
                _, _, (v, s) = rule(case, group * size + head, segment, 0, 0)
                torch.testing.assert_close(columns[:, head].double(), v, atol=1e-5, rtol=1e-4)
                torch.testing.assert_close(lines[:, head].double(), s, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("budget", [(30, 100), (60, 140), (200, 101)])
def test_kept_set_holds_what_the_rule_keeps(make_case, name, budget):
    """Every pair of the rule's set A(i) is kept, and recall is that of the kept set."""
    case = make_case(**CASES[name], sharpness=2.0)
    heads = case.q.shape[1]
    selection = select_fixed(
        case.q,
        case.pool_GSH,
        case.meta,
        budgets=[budget] * heads,
        inv_freq=case.inv_freq,
        last_q=LAST_Q,
    )
    size = heads // len(selection.pattern.groups)
    for segment in segments(case.start, len(case.rows), case.geometry.chunk_len):
        rows_T = torch.tensor(list(segment))
        causal = case.keys_S[None] <= rows_T[:, None]
        for head in range(heads):
            columns, offsets, _ = rule(case, head, segment, *budget)
            by_column = torch.isin(case.keys_S, columns)[None]
            by_line = torch.isin(rows_T[:, None] - case.keys_S[None], offsets)
            kept = keep_mask(selection.pattern.groups[head // size], rows_T, len(case.keys_S))
            assert bool(((by_column | by_line) & causal <= kept).all())
    exact = case.exact_recall(selection.pattern)
    assert float((exact - selection.recall_N).abs().max()) < 0.1


def test_budget_of_everything_is_dense(make_case):
    """A budget of all columns keeps everything, and says so: dense, recall 1, density 1."""
    case = make_case(300, heads=2)
    selection = select_fixed(
        case.q, case.pool_GSH, case.meta, budgets=[(10**6, 10**6)] * 2, inv_freq=case.inv_freq
    )
    assert selection.pattern.is_dense
    assert selection.recall_min == selection.density == 1


def test_segments_are_cut_at_chunk_edges():
    """Segments cover the rows once, and none holds a chunk edge inside."""
    assert segments(5, 20, 10) == [range(5, 10), range(10, 20), range(20, 25)]
    assert segments(0, 10, 10) == [range(10)]


def test_number_of_budgets_must_be_that_of_heads(make_case):
    """A table with the wrong number of heads raises ShapeError with both numbers."""
    case = make_case(40, heads=2)
    with pytest.raises(ShapeError, match="1 head budgets for 2 heads"):
        select_fixed(case.q, case.pool_GSH, case.meta, budgets=[(1, 1)], inv_freq=case.inv_freq)
