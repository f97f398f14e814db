"""Random attention problems, and the kernels' answers to them in any cut and any page order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from longreach.ops.attention import (
    AttentionScratch,
    KeyRuns,
    SliceMeta,
    attend_slice,
    attention_reference,
    prepare_slice,
)
from longreach.ops.dca import DualChunk, temperature
from longreach.ops.rope import cos_sin, rotate

THETA = 10000.0


def cos_sin64(positions: Tensor, inv_freq: Tensor) -> tuple[Tensor, Tensor]:
    """Tables without rounding to float32."""
    angles = positions.double()[:, None] * inv_freq
    return angles.cos(), angles.sin()


@dataclass
class Problem:
    """Un-rotated q [n, N, H], k and v [n, G, H] of one request, and how to attend."""

    q: Tensor
    k: Tensor
    v: Tensor
    geometry: DualChunk
    trained: int = 0
    mode: str = "position"
    attention_factor: float = 1.0
    scratch: AttentionScratch = field(default_factory=AttentionScratch)

    @property
    def n(self) -> int:
        return self.q.shape[0]

    @property
    def inv_freq(self) -> Tensor:
        dim = self.q.shape[2]
        return THETA ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)

    def to(self, dtype: torch.dtype) -> Problem:
        """The same numbers in another dtype."""
        cast = (x.to(dtype) for x in (self.q, self.k, self.v))
        return Problem(*cast, self.geometry, self.trained, self.mode, self.attention_factor)

    def truth(self, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Float64 attention of the very same numbers, by three rotations of whole queries.

        A faster way to say `reference`, which test_reference.py holds it to.
        """
        rows, length = torch.arange(self.n), self.geometry.chunk_len
        share = self.q.shape[1] // self.k.shape[1]
        tables = cos_sin64(self.geometry.key_position(rows), self.inv_freq)
        keys = rotate(self.k.double(), *tables).repeat_interleave(share, dim=1).transpose(0, 1)
        values = self.v.double().repeat_interleave(share, dim=1).transpose(0, 1)
        gap = (rows[:, None] // length - rows[None, :] // length).clamp(max=2)
        logits = torch.zeros(keys.shape[0], self.n, self.n, dtype=torch.float64)
        for at, position in enumerate(self.geometry.query_positions(rows)):
            query = rotate(self.q.double(), *cos_sin64(position, self.inv_freq)).transpose(0, 1)
            logits = torch.where(gap == at, query @ keys.transpose(1, 2), logits)
        factor = temperature(rows, self.trained, self.mode, self.n) * self.attention_factor
        logits *= (factor**2 / self.q.shape[2] ** 0.5)[:, None]
        seen = rows[None, :] <= rows[:, None]
        if allowed is not None:
            seen = seen & allowed.repeat_interleave(share, dim=0)
        logits = logits.masked_fill(~seen, -torch.inf)
        out = torch.softmax(logits, dim=-1).nan_to_num(0.0) @ values
        return out.transpose(0, 1), torch.logsumexp(logits, dim=-1).T

    def reference(self, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`attention_reference` in float64 on the very same numbers."""
        return attention_reference(
            self.q.double(), self.k.double(), self.v.double(), start=0, geometry=self.geometry,
            inv_freq=self.inv_freq, attention_factor=self.attention_factor,
            original_max_position=self.trained, temperature_mode=self.mode,
            request_length=self.n, allowed_GTS=allowed,
        )  # fmt: skip


def random_problem(
    n: int, heads: int, kv_heads: int, dim: int, geometry: DualChunk, *, seed: int = 0,
    dtype: torch.dtype = torch.float32, q_scale: float = 1.0, **options: object,
) -> Problem:  # fmt: skip
    rng = torch.Generator().manual_seed(seed)
    q = torch.randn(n, heads, dim, generator=rng) * q_scale
    k = torch.randn(n, kv_heads, dim, generator=rng)
    v = torch.randn(n, kv_heads, dim, generator=rng)
    return Problem(q.to(dtype), k.to(dtype), v.to(dtype), geometry, **options)


def page_runs(n: int, page: int, seed: int | None) -> tuple[KeyRuns, int]:
    """Runs of n keys in pages, shuffled unless seed is None; and the pool's size."""
    pages = -(-n // page)
    order = torch.arange(pages)
    if seed is not None:
        order = torch.randperm(pages + 3, generator=torch.Generator().manual_seed(seed))[:pages]
    runs = [(at * page, int(order[at]) * page, min(page, n - at * page)) for at in range(pages)]
    return KeyRuns(runs), (pages + 3) * page


def attend(
    problem: Problem, cuts: Sequence[int] = (), *, page: int = 128, shuffle: int | None = None,
    pattern: object = None, only_last: bool = False, with_lse: bool = True,
    pool_dtype: torch.dtype | None = None, widen: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Attention of the whole request, slice by slice, over a pool whose other slots hold NaN.

    pool_dtype: keys and values are rounded to it (default: q's); widen: and back to q's.
    """
    n = problem.n
    runs, slots = page_runs(n, page, shuffle)
    k_GSH, v_GSH = (x.to(pool_dtype or x.dtype) for x in pools(problem, runs, slots))
    if widen:
        k_GSH, v_GSH = (x.to(problem.q.dtype) for x in (k_GSH, v_GSH))
    outs, lses = [], []
    edges = [0, *sorted(cuts), n]
    for start, end in itertools.pairwise(edges):
        if start == end or (only_last and end != n):
            continue
        out, lse = attend_slice(
            problem.q[start:end], k_GSH, v_GSH, slice_meta(problem, start, end, runs), pattern,
            scratch=problem.scratch, return_lse=with_lse,
        )  # fmt: skip
        outs.append(out)
        lses.append(lse)
    return torch.cat(outs), torch.cat(lses) if with_lse else None


def pools(problem: Problem, runs: KeyRuns, slots: int) -> tuple[Tensor, Tensor]:
    """Rotated keys and values [G, S, H] where the runs say; other slots hold NaN."""
    keys = rotate(
        problem.k,
        *cos_sin(problem.geometry.key_position(torch.arange(problem.n)), problem.inv_freq),
    )
    shape = (problem.k.shape[1], slots, problem.k.shape[2])
    k_GSH = torch.full(shape, float("nan"), dtype=problem.q.dtype)
    v_GSH = k_GSH.clone()
    for logical, physical, length in runs:
        new, old = slice(physical, physical + length), slice(logical, logical + length)
        k_GSH[:, new] = keys[old].transpose(0, 1)
        v_GSH[:, new] = problem.v[old].transpose(0, 1)
    return k_GSH, v_GSH


def slice_meta(problem: Problem, start: int, end: int, runs: KeyRuns) -> SliceMeta:
    """What rows [start, end) of the problem need to know."""
    return prepare_slice(
        start, end - start, _first(runs, end), geometry=problem.geometry,
        inv_freq=problem.inv_freq, attention_factor=problem.attention_factor,
        head_dim=problem.q.shape[2], original_max_position=problem.trained,
        temperature_mode=problem.mode, request_length=problem.n,
    )  # fmt: skip


def _first(runs: KeyRuns, n: int) -> KeyRuns:
    return KeyRuns((a, p, min(size, n - a)) for a, p, size in runs if a < n)


def worst(name: str, got: Tensor, want: Tensor) -> float:
    """Largest absolute difference, printed with its place so that a failure can be found."""
    assert got.shape == want.shape
    difference = (got.double() - want.double()).abs()
    difference = torch.where(got.double() == want.double(), 0.0, difference)
    place = int(difference.nan_to_num(float("inf")).argmax())
    print(f"{name}: {difference.flatten()[place]:.3e} at {place} of {list(got.shape)}")
    return float(difference.flatten()[place])
