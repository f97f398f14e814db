"""The oracle of selection: every probability of every row, in float64, by the definition.

Shape letters: T rows of the segment, S keys, N query heads, G kv heads, H head dim.
"""

import math
from dataclasses import dataclass, field

import pytest
import torch

from longreach.ops.attention.meta import SliceMeta, prepare_slice
from longreach.ops.dca import DualChunk, temperature
from longreach.ops.pattern import Pattern, keep_mask

PAGE = 16


@dataclass
class Case:
    """A segment with un-rotated float64 q and k, and the pool that production reads."""

    q_TNH: torch.Tensor
    k_SGH: torch.Tensor
    start: int
    geometry: DualChunk
    inv_freq: torch.Tensor
    original_max_position: int = 0
    dtype: torch.dtype = torch.float32
    scattered: bool = False
    meta: SliceMeta = field(init=False)
    pool_GSH: torch.Tensor = field(init=False)

    def __post_init__(self):
        rotated = rotate64(self.k_SGH, self.geometry.key_position(self.keys_S), self.inv_freq)
        rotated = rotated.to(self.dtype)
        self._rotated_SGH = rotated.double()
        rotated = rotated.transpose(0, 1)
        self.pool_GSH, runs = scatter(rotated) if self.scattered else (rotated.contiguous(), None)
        self.meta = prepare_slice(
            self.start,
            self.q_TNH.shape[0],
            runs or [(0, 0, self.k_SGH.shape[0])],
            geometry=self.geometry,
            inv_freq=self.inv_freq,
            head_dim=self.q_TNH.shape[2],
            original_max_position=self.original_max_position,
        )

    @property
    def keys_S(self):
        return torch.arange(self.k_SGH.shape[0])

    @property
    def rows(self):
        return range(self.start, self.start + self.q_TNH.shape[0])

    @property
    def q(self):
        """Queries as production gets them."""
        return self.q_TNH.to(self.dtype)

    def probabilities(self, head, rows=None, positions=None):
        """Softmax of one head, float64 [rows, last row + 1], at real (or given) query positions."""
        rows_T = torch.tensor(list(rows or self.rows))
        group = head // (self.q_TNH.shape[1] // self.k_SGH.shape[1])
        # What production sees is rounded to its dtype; so are the oracle's inputs.
        q_TH = self.q[:, head].double()[rows_T - self.start]
        keys = torch.arange(int(rows_T.max()) + 1)
        k_SH = self._rotated_SGH[: len(keys), group]
        gap_TS = self.geometry.chunk(rows_T)[:, None] - self.geometry.chunk(keys)[None]
        logits_TS = torch.full(gap_TS.shape, -math.inf, dtype=torch.float64)
        for place, position in enumerate(positions or self.geometry.query_positions(rows_T)):
            here = gap_TS == place if place < 2 else gap_TS >= 2
            if bool(here.any()):
                turned = rotate64(q_TH, position, self.inv_freq) @ k_SH.T
                logits_TS = torch.where(here, turned, logits_TS)
        factor_T = temperature(rows_T, self.original_max_position, "position").double()
        logits_TS *= (factor_T**2 / math.sqrt(self.q_TNH.shape[2]))[:, None]
        logits_TS.masked_fill_(keys[None] > rows_T[:, None], -math.inf)
        return torch.softmax(logits_TS, 1)

    def exact_recall(self, pattern: Pattern, rows=None):
        """Mean kept share of the rows (default all), float64 [N]."""
        rows = sorted(rows or self.rows)
        size = self.q_TNH.shape[1] // self.k_SGH.shape[1]
        recall = []
        for head in range(self.q_TNH.shape[1]):
            kept = 0.0
            for at in range(0, len(rows), 512):
                part = rows[at : at + 512]
                mask = keep_mask(pattern.groups[head // size], torch.tensor(part), part[-1] + 1)
                kept += float((self.probabilities(head, part) * mask).sum())
            recall.append(kept / len(rows))
        return torch.tensor(recall)


def rotate64(x, positions, inv_freq):
    """Rotate pairs (x, x + H / 2) of [T, H] or [T, G, H] by positions * inv_freq."""
    angle = positions.double()[:, None] * inv_freq
    if x.dim() == 3:
        angle = angle[:, None]
    first, second = x.double().chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def scatter(k_GSH):
    """The same keys on pages in shuffled order, with rubbish between: (pool, runs)."""
    num_groups, num_keys, head_dim = k_GSH.shape
    num_pages = -(-num_keys // PAGE)
    order = torch.randperm(num_pages + 3, generator=torch.Generator().manual_seed(0))[:num_pages]
    pool = torch.full((num_groups, (num_pages + 3) * PAGE, head_dim), 1e3, dtype=k_GSH.dtype)
    runs = []
    for page, place in enumerate(order.tolist()):
        length = min(PAGE, num_keys - page * PAGE)
        runs.append((page * PAGE, place * PAGE, length))
        pool[:, place * PAGE : place * PAGE + length] = k_GSH[:, page * PAGE : page * PAGE + length]
    return pool, runs


def make_case(
    length,
    *,
    start=0,
    heads=2,
    groups=1,
    head_dim=16,
    chunk=None,
    cap=None,
    sharpness=1.0,
    seed=0,
    **options,
):
    """Random queries and keys; larger sharpness makes softmax more peaked."""
    draw = torch.Generator().manual_seed(seed)
    num_keys = start + length
    geometry = DualChunk.plain() if chunk is None else DualChunk(chunk, cap or chunk + chunk // 4)
    q_TNH = torch.randn(length, heads, head_dim, generator=draw, dtype=torch.float64) * sharpness
    k_SGH = torch.randn(num_keys, groups, head_dim, generator=draw, dtype=torch.float64)
    inv_freq = 10000.0 ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    return Case(q_TNH, k_SGH, start, geometry, inv_freq, **options)


def plant(length, columns, *, strength=4.0, **options):
    """A case whose every query looks at the given columns, along a direction that never turns."""
    case = make_case(length, **options)
    still = case.q_TNH.shape[2] // 2 - 1
    case.inv_freq[-1] = 0.0
    case.q_TNH[:, :, still] = strength
    case.k_SGH[:, :, still] = 0
    case.k_SGH[columns, :, still] = strength
    case.__post_init__()
    return case


@pytest.fixture(name="make_case")
def make_case_fixture():
    return make_case


@pytest.fixture(name="plant")
def plant_fixture():
    return plant


@pytest.fixture(autouse=True)
def unwritten_memory_is_nan(monkeypatch):
    """Buffers that production forgets to write are seen: new_empty gives NaN."""
    original = torch.Tensor.new_empty

    def poisoned(self, *args, **kwargs):
        made = original(self, *args, **kwargs)
        return made.fill_(math.nan) if made.is_floating_point() else made

    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned)
