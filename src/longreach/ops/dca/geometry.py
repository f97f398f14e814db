"""Where keys and queries of dual chunk attention stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

UNCUT = 2**61


Index = TypeVar("Index", int, Tensor)
"""Absolute positions: one, or a tensor of int64."""


class QueryPositions(NamedTuple, Generic[Index]):
    """Positions of one query (or of a tensor of queries) for the three ranges."""

    intra: Index
    succ: Index
    inter: Index


class KeyRanges(NamedTuple):
    """Half-open key ranges of one query row: inter, succ and intra, in that order, without gaps."""

    inter: tuple[int, int]
    succ: tuple[int, int]
    intra: tuple[int, int]


def _at_most(value: Index, limit: int) -> Index:
    return value.clamp(max=limit) if isinstance(value, Tensor) else min(value, limit)


@dataclass(frozen=True)
class DualChunk:
    """Chunks of chunk_len keys; no query stands beyond query_cap.

    chunk_len is L = chunk_size - local_size. query_cap is chunk_size as Qwen serves, chunk_size - 1
    in the paper. Positions are absolute indices into the prompt, ints or int64 tensors.
    """

    chunk_len: int
    query_cap: int

    def __post_init__(self) -> None:
        if self.chunk_len < 1:
            raise ValueError(f"chunk_len is {self.chunk_len}: expected at least 1")
        if self.query_cap < self.chunk_len - 1:
            raise ValueError(
                f"query_cap is {self.query_cap}: expected at least chunk_len - 1 "
                f"({self.chunk_len - 1}), or intra distances would be cut"
            )

    @classmethod
    def plain(cls) -> DualChunk:
        """One endless chunk: ordinary rotary attention."""
        return cls(chunk_len=UNCUT, query_cap=UNCUT)

    @property
    def inter_position(self) -> int:
        """The one position of every inter query."""
        return min(2 * self.chunk_len - 1, self.query_cap)

    def chunk(self, i: Index) -> Index:
        """Index of the chunk that holds position i."""
        return i // self.chunk_len

    def key_position(self, j: Index) -> Index:
        """Position at which key j is rotated."""
        return j % self.chunk_len

    def query_positions(self, i: Index) -> QueryPositions[Index]:
        """Positions at which query i is rotated for its intra, succ and inter keys."""
        row = i % self.chunk_len
        inter = row * 0 + self.inter_position
        return QueryPositions(row, _at_most(row + self.chunk_len, self.query_cap), inter)

    def selection_positions(self, i: Index) -> QueryPositions[Index]:
        """Positions for choosing a sparse pattern: continuous along every diagonal.

        Qwen2.5-1M report, section 5.2: nothing is clamped, and the inter positions keep the row.
        """
        row = i % self.chunk_len
        return QueryPositions(row, row + self.chunk_len, row + self.query_cap)

    def ranges(self, i: int) -> KeyRanges:
        """Key ranges that query i sees, itself included. Empty ranges have equal ends."""
        first = self.chunk(i) * self.chunk_len
        before = max(0, first - self.chunk_len)
        return KeyRanges((0, before), (before, first), (first, i + 1))

    def distance(self, i: int | Tensor, j: int | Tensor) -> Tensor:
        """Relative distance that the rotations of query i and key j amount to (broadcasts)."""
        i, j = torch.as_tensor(i), torch.as_tensor(j)
        position = self.query_positions(i)
        gap = self.chunk(i) - self.chunk(j)
        query = torch.where(
            gap == 0, position.intra, torch.where(gap == 1, position.succ, position.inter)
        )
        return query - self.key_position(j)
