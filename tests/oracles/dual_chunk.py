"""Dual chunk attention by brute force, in numpy float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def distances(n: int, chunk_size: int, local_size: int, cap: int) -> NDArray[np.int64]:
    """M[i, j], one pair at a time; pairs with j > i are 0."""
    length = chunk_size - local_size
    result = np.zeros((n, n), dtype=np.int64)
    for i in range(n):
        for j in range(i + 1):
            gap = i // length - j // length
            if gap == 0:
                query = i % length
            elif gap == 1:
                query = min(i % length + length, cap)
            else:
                query = min(2 * length - 1, cap)
            result[i, j] = query - j % length
    return result


def temperatures(n: int, trained: int, mode: str = "position", length: int = 0) -> Array:
    """f of rows 0 .. n - 1."""
    if trained == 0 or mode == "off":
        return np.ones(n)
    seen = np.arange(1, n + 1) if mode == "position" else np.full(n, length)
    return np.maximum(1.0, 0.1 * np.log(seen / trained) + 1.0)


def attention(
    q: Array,
    k: Array,
    v: Array,
    distance: NDArray[np.int64],
    frequencies: Array,
    factors: Array,
    allowed: NDArray[np.bool_] | None = None,
    attention_factor: float = 1.0,
) -> tuple[Array, Array]:
    """One softmax over remapped distances.

    q [n, N, D], k and v [n, G, D], un-rotated. allowed [G, n, n]: keys a sparse pattern keeps.
    Returns out [n, N, D] and the natural log-sum-exp [n, N].
    """
    n, heads, dim = q.shape
    half, group = dim // 2, heads // k.shape[1]
    out, lse = np.zeros_like(q), np.full((n, heads), -np.inf)
    cos, sin = np.cos(distance[..., None] * frequencies), np.sin(distance[..., None] * frequencies)
    for head in range(heads):
        g = head // group
        for i in range(n):
            keys = np.arange(i + 1)
            if allowed is not None:
                keys = keys[allowed[g, i, : i + 1]]
            if keys.size == 0:
                continue
            q1, q2 = q[i, head, :half], q[i, head, half:]
            k1, k2 = k[keys, g, :half], k[keys, g, half:]
            dots = (q1 * k1 + q2 * k2) * cos[i, keys] + (q1 * k2 - q2 * k1) * sin[i, keys]
            logits = factors[i] ** 2 * attention_factor**2 / np.sqrt(dim) * dots.sum(axis=-1)
            top = logits.max()
            weights = np.exp(logits - top)
            out[i, head] = weights @ v[keys, g] / weights.sum()
            lse[i, head] = top + np.log(weights.sum())
    return out, lse


def kept_keys(
    n: int, columns: list[int], tile_diagonals: list[int], tile: int
) -> NDArray[np.bool_]:
    """Row i keeps key j <= i of a kept column, or of a tile a kept number of tiles back."""
    kept = np.zeros((n, n), dtype=bool)
    for i in range(n):
        for j in range(i + 1):
            kept[i, j] = j in columns or (i // tile - j // tile) in tile_diagonals
    return kept
