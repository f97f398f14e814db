"""What one slice of one request needs to know, prepared once per step and used by every layer.

Shape letters: T rows of the slice, N query heads, G kv heads, H head dim, X = H // 2, S physical
slots.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

from longreach.config import TemperatureMode
from longreach.errors import ShapeError
from longreach.ops.dca import DualChunk, temperature
from longreach.ops.rope import cos_sin

Rotation = tuple[Tensor, Tensor]
"""(cos_TX, sin_TX), float32; one row when every query of the slice stands at the same position."""

LOG2_E = math.log2(math.e)


class KeyRun(NamedTuple):
    """Keys [logical, logical + length) lie at slots [physical, physical + length)."""

    logical: int
    physical: int
    length: int


class KeyRuns(tuple[KeyRun, ...]):
    """A request's page table as physically contiguous runs, in logical order and without gaps."""

    __slots__ = ()

    def __new__(cls, runs: Iterable[Sequence[int]]) -> Self:
        """Build from (logical_start, physical_start, length) triples; neighbours are merged."""
        merged: list[KeyRun] = []
        end = 0
        for logical, physical, length in runs:
            if logical != end or length < 1 or physical < 0:
                raise ShapeError(
                    f"key run (logical {logical}, physical {physical}, length {length}) "
                    f"does not continue at logical {end}"
                )
            end = logical + length
            last = merged[-1] if merged else None
            if last is not None and last.physical + last.length == physical:
                merged[-1] = KeyRun(last.logical, last.physical, last.length + length)
            else:
                merged.append(KeyRun(logical, physical, length))
        return super().__new__(cls, merged)

    @property
    def num_keys(self) -> int:
        """Number of logical keys covered."""
        return self[-1].logical + self[-1].length if self else 0

    @property
    def last_slot(self) -> int:
        """The highest slot in use, -1 when there are no keys."""
        return max((run.physical + run.length for run in self), default=0) - 1

    def pieces(self, start: int, end: int) -> list[tuple[int, int]]:
        """Slots [first, last) that hold keys [start, end), in logical order."""
        found: list[tuple[int, int]] = []
        if start >= end:
            return found
        for logical, physical, length in self[self._index(start) :]:
            if logical >= end:
                break
            skip = max(0, start - logical)
            found.append((physical + skip, physical + min(length, end - logical)))
        return found

    def _index(self, key: int) -> int:
        return bisect_right(self, key, key=lambda run: run.logical) - 1 if len(self) > 1 else 0


class QueryRotations(NamedTuple):
    """Rotations of the slice's queries. None where no row of the slice has such keys."""

    intra: Rotation
    succ: Rotation | None
    inter: Rotation | None


@dataclass(frozen=True, eq=False)
class SliceMeta:
    """Rows [start, start + length) of one request, and all its keys up to the last row.

    scale_T: float32, what un-rotated-length logits are multiplied by:
    temperature^2 * attention_factor^2 / sqrt(H). key_rotation: for the slice's new keys, at `i mod
    L`.
    """

    start: int
    length: int
    runs: KeyRuns
    geometry: DualChunk
    scale_T: Tensor
    key_rotation: Rotation
    query_rotations: QueryRotations

    @property
    def num_keys(self) -> int:
        """Keys the last row sees."""
        return self.start + self.length

    @cached_property
    def scale(self) -> float:
        """The first row's scale: the only one of a slice of one row."""
        return float(self.scale_T[0])


def prepare_slice(
    start: int,
    length: int,
    runs: KeyRuns | Iterable[Sequence[int]],
    *,
    geometry: DualChunk,
    inv_freq: Tensor,
    attention_factor: float = 1.0,
    head_dim: int,
    original_max_position: int = 0,
    temperature_mode: TemperatureMode = "position",
    request_length: int | None = None,
    device: torch.device | str = "cpu",
) -> SliceMeta:
    """Everything that attention over rows [start, start + length) needs beside q, k and v.

    runs: the request's keys; they must cover start + length keys (those of the slice included).
    inv_freq: float64 [head_dim // 2]. original_max_position: trained length of the temperature, 0:
    off. request_length: for temperature_mode "length" only.
    Raises ShapeError when the numbers do not fit together.
    """
    runs = runs if isinstance(runs, KeyRuns) else KeyRuns(runs)
    if start < 0 or length < 1:
        raise ShapeError(f"slice [{start}, {start + length}): expected start >= 0 and length >= 1")
    if runs.num_keys < start + length:
        raise ShapeError(
            f"key runs cover {runs.num_keys} keys but the slice ends at {start + length}"
        )
    if 2 * inv_freq.numel() != head_dim:
        raise ShapeError(
            f"inv_freq has {inv_freq.numel()} values: expected head_dim {head_dim} // 2"
        )
    rows_T = torch.arange(start, start + length, dtype=torch.int64, device=device)
    factor_T = temperature(rows_T, original_max_position, temperature_mode, request_length)
    intra = cos_sin(geometry.query_positions(rows_T).intra, inv_freq)
    return SliceMeta(
        start=start,
        length=length,
        runs=runs,
        geometry=geometry,
        scale_T=(factor_T.square() * attention_factor**2 / math.sqrt(head_dim)).to(torch.float32),
        key_rotation=intra,
        query_rotations=_query_rotations(rows_T, intra, geometry, inv_freq),
    )


def _query_rotations(
    rows_T: Tensor, intra: Rotation, geometry: DualChunk, inv_freq: Tensor
) -> QueryRotations:
    last_chunk = int(rows_T[-1]) // geometry.chunk_len
    if last_chunk == 0:
        return QueryRotations(intra, None, None)
    succ = cos_sin(geometry.query_positions(rows_T).succ, inv_freq)
    if last_chunk == 1:
        return QueryRotations(intra, succ, None)
    constant = torch.tensor([geometry.inter_position], dtype=torch.int64, device=rows_T.device)
    return QueryRotations(intra, succ, cos_sin(constant, inv_freq))
