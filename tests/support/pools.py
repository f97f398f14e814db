"""Pools of a few rows."""

import torch

from longreach.cache import KVPool


def small_pool(
    num_pages, page_size=4, num_layers=1, num_kv_heads=1, head_dim=2, dtype=torch.float32, **options
):
    """A pool of the smallest shape, but for what a test is about."""
    return KVPool(
        num_layers=num_layers,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        num_pages=num_pages,
        page_size=page_size,
        dtype=dtype,
        **options,
    )
