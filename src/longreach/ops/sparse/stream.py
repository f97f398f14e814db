"""Scores of a few query rows against all keys of one KV group, streamed in memory O(keys).

A score is 2^(logit - reference): base-2 logits under the real dual chunk positions, scale and
temperature folded into the queries. The reference of a row rides in the GEMM, as two more
dimensions against keys of ones, so it is subtracted in the accumulator, before anything is rounded
to bf16.

Blocks are laid out keys first, [keys, rows, heads]: that is the faster GEMM, and sums over the 128
keys of a tile run along the outer dimension, where torch's reduction is several times faster.

Shape letters: S physical slots, B keys of a block, P sampled rows, R heads of the group, H head
dim.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from longreach.ops.dca import DualChunk
from longreach.ops.pattern import TILE
from longreach.ops.rope import rotate

BLOCK_SCORES = 2**19
MAX_BLOCK_KEYS = 4096
LOG2_E = math.log2(math.e)

Rotation = tuple[Tensor, Tensor]
Edges = tuple[int, int, int]
Cut = tuple[Edges, int, int]
"""(first rows of the three gaps, from, to): keys that every row sees in one rotation."""


class Slice(Protocol):
    """What selection reads of a slice's metadata (`ops.attention.SliceMeta` has it)."""

    @property
    def start(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def runs(self) -> Sequence[tuple[int, int, int]]: ...
    @property
    def geometry(self) -> DualChunk: ...
    @property
    def scale_T(self) -> Tensor: ...
    @property
    def query_rotations(self) -> tuple[Rotation, Rotation | None, Rotation | None]: ...


@dataclass(frozen=True)
class Queries:
    """Sampled rows of all heads, rotated for the three ranges; dot products are base-2 logits.

    rows: ascending, absolute. ranges: (intra, succ, inter), each [P, N, H] in the dtype that scores
    are computed in; None where no row has such keys.
    """

    rows: Sequence[int]
    ranges: tuple[Tensor, Tensor | None, Tensor | None]

    def take(self, picked: Sequence[int]) -> Queries:
        """Some of the rows, by their places in `rows`, ascending."""
        index = torch.tensor(picked, dtype=torch.int64, device=self.ranges[0].device)
        intra, succ, inter = (None if q is None else q[index] for q in self.ranges)
        assert intra is not None
        return Queries([self.rows[i] for i in picked], (intra, succ, inter))

    def group_shape(self, num_groups: int) -> tuple[int, int, int]:
        """(P, R, H) of one KV group."""
        num_rows, num_heads, head_dim = self.ranges[0].shape
        return num_rows, num_heads // num_groups, head_dim

    def group(self, group: int, num_groups: int) -> tuple[Tensor | None, ...]:
        """The three rotations of one KV group's heads, each [P, R, H]."""
        size = self.group_shape(num_groups)[1]
        return tuple(
            None if q is None else q[:, group * size : (group + 1) * size] for q in self.ranges
        )


def sampled_queries(
    q_TNH: Tensor,
    meta: Slice,
    rows: Sequence[int],
    rotations: tuple[Rotation, Rotation | None, Rotation | None] | None = None,
) -> Queries:
    """Rotate and scale the rows of un-rotated q_TNH that lie at the absolute positions `rows`.

    rotations: tables of one row per sampled row (or a single row), where not the slice's own.
    """
    index_P = torch.tensor(rows, dtype=torch.int64, device=q_TNH.device) - meta.start
    q_PNH = q_TNH[index_P].to(torch.promote_types(q_TNH.dtype, torch.float32))
    factor_P11 = (meta.scale_T[index_P] * LOG2_E)[:, None, None]

    def turned(rotation: Rotation | None) -> Tensor | None:
        if rotation is None:
            return None
        cos, sin = rotation
        if rotations is None and cos.shape[0] == meta.length:
            cos, sin = cos[index_P], sin[index_P]
        return (rotate(q_PNH, cos, sin) * factor_P11).to(q_TNH.dtype)

    intra, succ, inter = (turned(r) for r in rotations or meta.query_rotations)
    assert intra is not None
    return Queries(rows, (intra, succ, inter))


class Block(NamedTuple):
    """Scores of keys [start, start + B) for the rows from `first` on (earlier rows see none).

    scores: [B, P - first, R], zero where the key comes after the row. Overwritten by the next
    block.
    """

    start: int
    first: int
    scores: Tensor


class ScoreStream:
    """The keys of one group, scored block by block for one set of rows.

    k_SH: the group's pool in any float dtype, keys rotated at `j mod L`, unscaled. Blocks start on
    multiples of the tile.
    """

    def __init__(
        self, k_SH: Tensor, meta: Slice, queries: Queries, group: int, num_groups: int
    ) -> None:
        self.rows = list(queries.rows)
        self.rows_P = torch.tensor(self.rows, dtype=torch.int64, device=k_SH.device)
        self.num_keys = self.rows[-1] + 1
        self.dtype = queries.ranges[0].dtype
        self.wide = torch.promote_types(self.dtype, torch.float32)
        self._k_SH, self._runs, self._chunk_len = k_SH, meta.runs, meta.geometry.chunk_len
        self._run_starts = [run[0] for run in meta.runs]
        self._chunk_of = [row // self._chunk_len for row in self.rows]
        self._ranges = queries.group(group, num_groups)
        self.num_rows, self.num_heads, head_dim = queries.group_shape(num_groups)
        width = self.num_rows * self.num_heads
        self.block = max(TILE, min(MAX_BLOCK_KEYS, BLOCK_SCORES // width // TILE * TILE))
        self._scores = k_SH.new_empty(self.block * width, dtype=self.dtype)
        self._keys = k_SH.new_ones(self.block, head_dim + 2, dtype=self.dtype)
        self._reference_PR2 = self._keys.new_zeros(self.num_rows, self.num_heads, 2)
        self._turned: tuple[Edges, Tensor] | None = None

    def refer_to(self, reference_PR: Tensor) -> None:
        """Make scores 2^(logit - reference) from now on, to about 16 bits of the reference."""
        high = (-reference_PR).to(self.dtype)
        low = (-reference_PR - high.to(reference_PR.dtype)).to(self.dtype)
        self._reference_PR2 = torch.stack([high, low], dim=2)
        self._turned = None

    def blocks(self, visible: Sequence[int] | None = None) -> Iterator[Block]:
        """All keys in order. visible: how many keys each row sees, ascending; default its own."""
        visible = visible or [row + 1 for row in self.rows]
        for start in range(0, visible[-1], self.block):
            stop = min(start + self.block, visible[-1])
            first = bisect.bisect_right(visible, start)
            self._gather(start, stop)
            keys = self._keys[: stop - start]
            scores = self._logits(keys, self._cuts(start, stop), first).exp2_()
            _hide(scores, start, visible[first:])
            yield Block(start, first, scores)

    def columns(self, index_C: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(place of its first column, scores [B, P, R]) for ascending key indices, by block."""
        for at, logits, later in self._column_logits(index_C):
            yield at, logits.exp2_().masked_fill_(later, 0)

    def largest_logits(self, index_C: Tensor) -> Tensor:
        """The largest base-2 logit of each row over these keys, [P, R]; each row must see one."""
        self.refer_to(torch.zeros(self.num_rows, self.num_heads, device=self.rows_P.device))
        largest = [
            logits.masked_fill_(later, -math.inf).amax(0)
            for _, logits, later in self._column_logits(index_C)
        ]
        return torch.stack(largest).amax(0).to(self.wide)

    def _column_logits(self, index_C: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        slots_C = self._slots(index_C)
        for at in range(0, index_C.numel(), self.block):
            index = index_C[at : at + self.block]
            keys = self._keys[: index.numel()]
            keys[:, :-2] = self._k_SH[slots_C[at : at + self.block]]
            chunks, counts = torch.unique_consecutive(index // self._chunk_len, return_counts=True)
            cuts = self._merged(chunks.tolist(), counts.cumsum(0).tolist())
            yield at, self._logits(keys, cuts, 0), (index[:, None] > self.rows_P)[:, :, None]

    def _logits(self, keys: Tensor, cuts: list[Cut], first: int) -> Tensor:
        """GEMMs over pieces of gathered keys: [B, P - first, R], reused memory."""
        rows = self.num_rows - first
        flat = self._scores[: keys.shape[0] * rows * self.num_heads].view(keys.shape[0], -1)
        for edges, a, b in cuts:
            torch.mm(
                keys[a:b], self._queries_for(edges)[:, first * self.num_heads :], out=flat[a:b]
            )
        return flat.view(keys.shape[0], rows, self.num_heads)

    def _queries_for(self, edges: Edges) -> Tensor:
        """[H + 2, P * R]: rows in the rotation of their gap, above their negated references."""
        if self._turned is None or self._turned[0] != edges:
            ends = (*edges[1:], self.num_rows)
            parts = [
                q_PRH[a:b]
                for q_PRH, a, b in zip(self._ranges, edges, ends, strict=True)
                if q_PRH is not None
            ]
            # Rows of earlier chunks see no key of this one: any values do.
            unused = parts[0].new_zeros(edges[0], *parts[0].shape[1:])
            q_PRH = torch.cat([torch.cat([unused, *parts]), self._reference_PR2], dim=2)
            self._turned = (edges, q_PRH.flatten(0, 1).t().contiguous())
        return self._turned[1]

    def _edges(self, chunk: int) -> Edges:
        """First row of the chunk itself, of the next one, and of those after: intra, succ,
        inter.
        """
        intra, succ, inter = (bisect.bisect_left(self._chunk_of, chunk + gap) for gap in range(3))
        return intra, succ, inter

    def _cuts(self, start: int, stop: int) -> list[Cut]:
        chunks = range(start // self._chunk_len, (stop - 1) // self._chunk_len + 1)
        ends = [min(stop, (chunk + 1) * self._chunk_len) - start for chunk in chunks]
        return self._merged(chunks, ends)

    def _merged(self, chunks: Iterable[int], ends: Iterable[int]) -> list[Cut]:
        """Chunks that every row sees alike make one piece."""
        cuts: list[Cut] = []
        begin = 0
        for chunk, end in zip(chunks, ends, strict=True):
            edges = self._edges(chunk)
            if cuts and cuts[-1][0] == edges:
                cuts[-1] = (edges, cuts[-1][1], end)
            else:
                cuts.append((edges, begin, end))
            begin = end
        return cuts

    def _gather(self, start: int, stop: int) -> None:
        at, run = start, bisect.bisect_right(self._run_starts, start) - 1
        while at < stop:
            logical, physical, length = self._runs[run]
            end = min(stop, logical + length)
            slot = physical + at - logical
            self._keys[at - start : end - start, :-2] = self._k_SH[slot : slot + end - at]
            at, run = end, run + 1

    def _slots(self, index_C: Tensor) -> Tensor:
        runs = torch.tensor([tuple(run) for run in self._runs], device=index_C.device)
        run_C = torch.searchsorted(runs[:, 0].contiguous(), index_C, right=True) - 1
        return index_C + (runs[:, 1] - runs[:, 0])[run_C]


def _hide(scores: Tensor, start: int, visible: Sequence[int]) -> None:
    """Zero the scores [B, P, R] of keys at and after each row's number of visible keys."""
    until = bisect.bisect_left(visible, start + scores.shape[0])
    if until == 0:
        return
    keys = torch.arange(start, start + scores.shape[0], device=scores.device)
    visible_P = torch.tensor(visible[:until], device=scores.device)
    scores[:, :until].masked_fill_((keys[:, None] >= visible_P)[:, :, None], 0)
