"""One segment, sampled and scored: what every way of choosing its pattern starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from longreach.errors import ShapeError
from longreach.ops.pattern import TILE, GroupPattern, Pattern
from longreach.ops.sparse.masses import (
    FORCED_DIAGONALS,
    NUM_SINKS,
    TileMasses,
    column_masses,
    diagonal_masses,
    kept_masses,
    tile_masses,
)
from longreach.ops.sparse.ranking import Ranking, kept_curve, rank
from longreach.ops.sparse.sampling import SampledRows, sample_rows
from longreach.ops.sparse.selection import Selection
from longreach.ops.sparse.stream import Queries, ScoreStream, Slice, sampled_queries


@dataclass(frozen=True)
class RowScores:
    """Masses of one part of the sampled rows. diagonal_DR: summed over its rows."""

    stream: ScoreStream
    masses: TileMasses
    diagonal_DR: Tensor

    @property
    def forced_R(self) -> Tensor:
        """Mean share that sinks and local window keep."""
        total_R = self.masses.sinks_PR.sum(0) + self.diagonal_DR[:FORCED_DIAGONALS].sum(0)
        return total_R / self.stream.num_rows

    def kept_curve(self, ranking: Ranking) -> Tensor:
        """Mean share kept by each prefix of the list, [E, R]."""
        added_ER = kept_curve(ranking, self.stream, self.masses, self.diagonal_DR)
        return added_ER / self.stream.num_rows + self.forced_R

    def row_recall(self, group: GroupPattern) -> Tensor:
        """Share that the pattern keeps of each row, [P, R]."""
        return kept_masses(self.stream, self.masses, group)

    def recall(self, group: GroupPattern) -> Tensor:
        """Mean share that the pattern keeps, [R]."""
        return self.row_recall(group).mean(0)


@dataclass(frozen=True)
class GroupScores:
    """Masses of one KV group.

    Where a segment has no rows left to check or to hold out, the choosing rows stand in.
    """

    choosing: RowScores
    checking: RowScores
    held_out: RowScores

    @cached_property
    def column_KR(self) -> Tensor:
        """Summed over the choosing rows, the local window's mass left out.

        The second pass over the keys: only for groups that the forced keys do not suffice.
        """
        return column_masses(self.choosing.stream, self.choosing.masses.lse2_PR)

    def rank(self, at_least: int) -> Ranking:
        """The first entries of the list, about `at_least` of them."""
        return rank(self.column_KR, self.choosing.diagonal_DR, at_least)


Choose = Callable[[GroupScores], GroupPattern | None]
Accept = Callable[[RowScores], GroupPattern | None]


@dataclass(frozen=True)
class GroupRows:
    """The sampled rows of one KV group, scored when they are asked for. queries: of all of them."""

    k_SH: Tensor
    meta: Slice
    queries: Queries
    rows: SampledRows
    group: int
    num_groups: int

    def score(self, *parts: Sequence[int]) -> list[RowScores]:
        """One pass over the keys for the rows of these parts together."""
        rows = sorted(set().union(*parts))
        every = self._stream(rows)
        num_tiles = -(-(self.meta.start + self.meta.length) // TILE)
        masses = tile_masses(every, NUM_SINKS).padded(num_tiles)
        place = {row: i for i, row in enumerate(rows)}
        scores = []
        for part in parts:
            stream, own = self._stream(part), masses.take([place[row] for row in part])
            scores.append(RowScores(stream, own, diagonal_masses(own, stream.rows)))
        return scores

    def _stream(self, rows: Sequence[int]) -> ScoreStream:
        place = {row: i for i, row in enumerate(self.queries.rows)}
        queries = self.queries.take([place[row] for row in rows])
        return ScoreStream(self.k_SH, self.meta, queries, self.group, self.num_groups)

    def score_all(self) -> GroupScores:
        """All parts, in one pass."""
        return GroupScores(*self.score(*(part or self.rows.choosing for part in self.rows)))

    def select(self, choose: Choose, accept: Accept | None) -> tuple[GroupPattern | None, Tensor]:
        """The pattern and its held-out recall [R]."""
        choosing, checking, held_out = self.rows
        if accept is None or not (checking and held_out):
            scores = self.score_all()
            return _reported(choose(scores), scores.held_out)
        fresh = self.score(checking, held_out)
        pattern = accept(fresh[0])
        if pattern is None:
            pattern = choose(GroupScores(*self.score(choosing), *fresh))
        return _reported(pattern, fresh[1])


def _reported(
    pattern: GroupPattern | None, held_out: RowScores
) -> tuple[GroupPattern | None, Tensor]:
    if pattern is None:
        return None, held_out.forced_R.new_ones(held_out.stream.num_heads)
    return pattern, held_out.recall(pattern)


def select_groups(
    q_TNH: Tensor,
    k_GSH: Tensor,
    meta: Slice,
    choose: Choose,
    seed: int,
    accept: Accept | None = None,
) -> Selection:
    """Score every KV group, let `choose` pick its pattern, and report on the held-out rows.

    accept: asked first, about the checking rows alone; where it has a pattern, no choosing row is
    looked at.
    """
    check_shapes(q_TNH, k_GSH, meta)
    rows = sample_rows(meta.start, meta.length, meta.geometry.chunk_len, seed)
    queries = sampled_queries(q_TNH, meta, rows.every)
    num_groups = k_GSH.shape[0]
    found = [
        GroupRows(k_GSH[group], meta, queries, rows, group, num_groups).select(choose, accept)
        for group in range(num_groups)
    ]
    groups, recalls = zip(*found, strict=True)
    return make_selection(Pattern(groups), torch.cat(recalls), meta)


def make_selection(pattern: Pattern, recall_N: Tensor, meta: Slice) -> Selection:
    """Count the density of a pattern over the segment."""
    density = pattern.density(range(meta.start, meta.start + meta.length))
    return Selection(pattern, recall_N.float(), torch.tensor(density, dtype=torch.float32))


def dense_selection(num_heads: int, num_groups: int, device: torch.device) -> Selection:
    """Everything kept, nothing scored."""
    ones_N = torch.ones(num_heads, device=device)
    return Selection(Pattern((None,) * num_groups), ones_N, torch.ones(num_groups))


def check_shapes(q_TNH: Tensor, k_GSH: Tensor, meta: Slice) -> None:
    """Raise ShapeError unless q holds the slice's rows and its heads fall into k's groups."""
    if q_TNH.dim() != 3 or k_GSH.dim() != 3 or q_TNH.shape[2] != k_GSH.shape[2]:
        raise ShapeError(f"q is {tuple(q_TNH.shape)}, k {tuple(k_GSH.shape)}: expected TNH, GSH")
    if q_TNH.shape[0] != meta.length or q_TNH.shape[1] % k_GSH.shape[0]:
        raise ShapeError(
            f"q is {tuple(q_TNH.shape)} for {meta.length} rows and {k_GSH.shape[0]} KV heads"
        )
