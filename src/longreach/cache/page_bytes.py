"""Pages of a pool as bytes, in the order in which extents have them.

Order: keys of all layers, then values; in each the heads, in each the tokens of the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from longreach.cache.disk import Layout
from longreach.cache.pool import KVPool

Buffers = list[memoryview]
DTYPES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
NOWHERE = -1
"""In the place of a page: its bytes are read, and not kept."""


def layout_of(pool: KVPool) -> Layout:
    """How an extent describes this pool's pages."""
    heads, _, head_dim = pool.k[0].shape
    return Layout(
        dtype=DTYPES[pool.k[0].dtype],
        num_layers=len(pool.k),
        num_kv_heads=heads,
        head_dim=head_dim,
        page_size=pool.page_size,
    )


def copy_pages(pool: KVPool, pages: Sequence[int], num_tokens: int) -> Buffers:
    """The bytes of these pages, as they are now, of their first `num_tokens`; zeros behind them.

    What lies behind the tokens of an unfinished page is another request's.
    """
    buffer = np.empty(len(pages) * pool.bytes_per_page, np.uint8)
    shape = (2 * len(pool.k), pool.k[0].shape[0], len(pages) * pool.page_size, -1)
    out = torch.from_numpy(buffer.reshape(shape))
    for at, tensor_GSB in enumerate(_byte_tensors(pool)):
        for begin, slot, length in _runs(pages, pool.page_size):
            out[at, :, begin : begin + length] = tensor_GSB[:, slot : slot + length]
    out[:, :, num_tokens:] = 0
    return [buffer.data]


def fill_pages(pool: KVPool, pages: Sequence[int], read: Callable[[Buffers], bool]) -> bool:
    """Have `read` write the bytes of these pages (or `NOWHERE`); whether it says that it did.

    Pages in CPU memory are written in place, and are garbage when it fails.
    """
    if pool.k[0].is_cpu:
        return read(list(_views(pool, pages)))
    staging = KVPool(
        num_layers=len(pool.k),
        num_kv_heads=pool.k[0].shape[0],
        head_dim=pool.k[0].shape[2],
        num_pages=len(pages),
        page_size=pool.page_size,
        dtype=pool.k[0].dtype,
    )
    if not read(list(_views(staging, range(len(pages))))):
        return False
    for target_GSB, source_GSB in zip(_byte_tensors(pool), _byte_tensors(staging), strict=True):
        for begin, slot, length in _runs(pages, pool.page_size):
            if slot >= 0:
                target_GSB[:, slot : slot + length] = source_GSB[:, begin : begin + length]
    return True


def _byte_tensors(pool: KVPool) -> Iterator[torch.Tensor]:
    """[G, S, bytes of a row] of each layer's keys, then of its values."""
    for tensor_GSH in (*pool.k, *pool.v):
        yield tensor_GSH.view(torch.uint8)


def _runs(pages: Sequence[int], page_size: int) -> Iterator[tuple[int, int, int]]:
    """(first token among `pages`, first slot, number of tokens); a slot below 0 is NOWHERE's."""
    start = 0
    for at in range(1, len(pages) + 1):
        if at < len(pages) and pages[at] == pages[at - 1] + 1 and pages[at - 1] != NOWHERE:
            continue
        yield start * page_size, pages[start] * page_size, (at - start) * page_size
        start = at


def _views(pool: KVPool, pages: Sequence[int]) -> Iterator[memoryview]:
    runs = list(_runs(pages, pool.page_size))
    for tensor_GSB in _byte_tensors(pool):
        array_GSB = tensor_GSB.numpy()
        for head_SB in array_GSB:
            for _, slot, length in runs:
                if slot < 0:
                    yield memoryview(bytearray(length * head_SB.shape[1]))
                else:
                    yield head_SB[slot : slot + length].reshape(-1).data
