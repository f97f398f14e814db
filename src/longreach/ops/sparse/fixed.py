"""Fixed budgets per head with Qwen's selection rule (Qwen2.5-1M report, section 5.2).

The last rows of a segment, at selection positions that run on along every diagonal, score all keys.
The best columns and the best diagonals of each head are kept, the first 30 columns and the last 100
diagonals always and within the budget. Segments are cut at chunk edges.

Shape letters: K keys, P scoring rows, R heads of a group.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from longreach.errors import ShapeError
from longreach.ops.pattern import TILE, GroupPattern, Pattern, causal_pairs, kept_pairs
from longreach.ops.rope import cos_sin
from longreach.ops.sparse.masses import FORCED_DIAGONALS, NUM_SINKS, tile_masses
from longreach.ops.sparse.recall import measure_recall
from longreach.ops.sparse.sampling import sample_rows
from longreach.ops.sparse.segment import check_shapes, make_selection
from longreach.ops.sparse.selection import Selection
from longreach.ops.sparse.stream import Queries, ScoreStream, Slice, sampled_queries

FORCED_OFFSETS = 100
SMALL_VERTICAL, RAISED_VERTICAL = 30, 130

HeadBudget = tuple[int, int]
"""(vertical_size, slash_size): columns and diagonals of one head."""


def select_fixed(
    q_TNH: Tensor,
    k_GSH: Tensor,
    meta: Slice,
    *,
    budgets: Sequence[HeadBudget],
    inv_freq: Tensor,
    last_q: int = 64,
    seed: int = 0,
) -> Selection:
    """The pattern of each head's (vertical_size, slash_size), united over the heads of a KV group.

    A vertical_size of 30 is raised to 130 and both are cut at the number of keys, as Qwen does.
    Diagonals become the tile diagonals that cover them, so every row keeps what Qwen's rule keeps,
    and more. A slice that crosses chunk edges keeps, for all its rows, what the rule keeps in any
    of its segments: to reproduce Qwen's density, cut slices at `segments`. inv_freq: of the rotary
    embedding, for the selection positions. Recall is of held-out rows, under real positions.
    Arguments as `select_adaptive`.
    """
    check_shapes(q_TNH, k_GSH, meta)
    if len(budgets) != q_TNH.shape[1]:
        raise ShapeError(f"{len(budgets)} head budgets for {q_TNH.shape[1]} heads")
    num_groups, size = k_GSH.shape[0], q_TNH.shape[1] // k_GSH.shape[0]
    kept: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(num_groups)]
    for segment in segments(meta.start, meta.length, meta.geometry.chunk_len):
        queries = _selection_queries(q_TNH, meta, segment[-last_q:], inv_freq)
        for group in range(num_groups):
            stream = ScoreStream(k_GSH[group], meta, queries, group, num_groups)
            of_group = budgets[group * size : (group + 1) * size]
            kept[group].append(_select(*line_masses(stream), of_group))
    stop = meta.start + meta.length
    rows = range(meta.start, stop)
    pattern = Pattern(tuple(_unite(parts, rows) for parts in kept))
    sampled = sample_rows(meta.start, meta.length, meta.geometry.chunk_len, seed)
    recall_N = measure_recall(q_TNH, k_GSH, meta, pattern, sampled.held_out or rows)
    return make_selection(pattern, recall_N, meta)


def segments(start: int, length: int, chunk_len: int) -> list[range]:
    """The rows [start, start + length) cut at multiples of chunk_len."""
    stop = start + length
    chunks = range(start // chunk_len, (stop - 1) // chunk_len + 1)
    return [range(max(start, c * chunk_len), min(stop, (c + 1) * chunk_len)) for c in chunks]


def _selection_queries(q_TNH: Tensor, meta: Slice, rows: range, inv_freq: Tensor) -> Queries:
    index = torch.tensor(list(rows), device=q_TNH.device)
    positions = meta.geometry.selection_positions(index)
    intra, succ, inter = (cos_sin(torch.as_tensor(p), inv_freq) for p in positions)
    return sampled_queries(q_TNH, meta, rows, (intra, succ, inter))


def line_masses(stream: ScoreStream) -> tuple[Tensor, Tensor]:
    """(column_KR, line_KR): mass by column, and by the diagonal that meets the last row at column
    t.

    The stream's rows follow each other. Diagonals beyond the last row's own are left out.
    """
    stream.refer_to(tile_masses(stream, num_sinks=0).lse2_PR)
    num_keys, num_rows, num_heads = stream.num_keys, stream.num_rows, stream.num_heads
    column_KR = torch.zeros(num_keys, num_heads, dtype=stream.wide, device=stream.rows_P.device)
    line_KR = torch.zeros(
        num_keys + num_rows, num_heads, dtype=stream.wide, device=column_KR.device
    )
    shape = (stream.block + num_rows, num_rows, num_heads)
    skewed = torch.zeros(shape, dtype=stream.dtype, device=column_KR.device)
    for start, first, scores in stream.blocks():
        count = scores.shape[0]
        column_KR[start : start + count] = scores.sum(1)
        # Row a, counted from the last, is written a keys further down: then lines lie level.
        step, inner = num_rows * num_heads, num_heads
        level = skewed.as_strided((count, num_rows - first, num_heads), (step, step + inner, 1))
        level.copy_(scores.flip(1))
        line_KR[start : start + count + num_rows] += skewed[: count + num_rows].sum(1)
        level.zero_()
    return column_KR, line_KR[:num_keys]


def _select(
    column_KR: Tensor, line_KR: Tensor, budgets: Sequence[HeadBudget]
) -> tuple[Tensor, Tensor]:
    """(columns, offsets) kept by any head of the group, sorted and distinct."""
    num_keys = column_KR.shape[0]
    column_KR[:NUM_SINKS] = torch.inf
    line_KR[max(0, num_keys - FORCED_OFFSETS) :] = torch.inf
    columns, offsets = [], []
    for head, (vertical, slash) in enumerate(budgets):
        count = RAISED_VERTICAL if vertical == SMALL_VERTICAL else vertical
        columns.append(column_KR[:, head].topk(min(count, num_keys)).indices)
        lines = line_KR[:, head].topk(min(slash, num_keys)).indices
        offsets.append(num_keys - 1 - lines)
    return torch.cat(columns).unique(), torch.cat(offsets).unique()


def _unite(parts: list[tuple[Tensor, Tensor]], rows: range) -> GroupPattern | None:
    """All columns, and the tile diagonals that cover all offsets; None where that is everything."""
    device = parts[0][0].device
    sinks = torch.arange(min(NUM_SINKS, rows.stop), device=device)
    window = torch.arange(FORCED_DIAGONALS, device=device)
    offsets = torch.cat([offsets for _, offsets in parts])
    covering = torch.cat([window, offsets // TILE, (offsets + TILE - 1) // TILE]).unique()
    group = GroupPattern(
        columns=torch.cat([sinks, *(columns for columns, _ in parts)]).unique(),
        tile_diagonals=covering,
    )
    return group if kept_pairs(group, rows) < causal_pairs(rows) else None
