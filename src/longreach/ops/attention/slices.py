"""The order in which a slice's rows meet their keys, whichever softmax counts them.

Shape letters: T rows of the slice, N query heads, G kv heads, R = N // G query heads of a kv group,
M GEMM rows of a block (positions x R), K keys of a tile, S physical slots, H head dim.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from longreach.ops.attention.block import MASK_POSITIONS, Block, Softmax
from longreach.ops.attention.blocks import (
    INTRA,
    KeySpan,
    positions_per_block,
    row_blocks,
    spans_between,
    tiles,
)
from longreach.ops.attention.kept import KeptBlock, KeptKeys
from longreach.ops.attention.meta import SliceMeta
from longreach.ops.attention.scratch import AttentionScratch
from longreach.ops.pattern import Pattern

TARGET_ROWS = 2048
TARGET_SCORES = 4 * 2**20
"""Rows of a block, and scores of a tile at most."""
SINKS = 64
"""First keys of the text, where outliers live: looked at before a row's shift is chosen."""


def attend_blocks(
    q_TNH: Tensor,
    k_GSH: Tensor,
    v_GSH: Tensor,
    meta: SliceMeta,
    pattern: Pattern | None,
    scratch: AttentionScratch,
    out_TNH: Tensor,
    lse_TN: Tensor | None,
    softmax: type[Softmax],
) -> None:
    """Write attention of the whole slice into out_TNH, and its log-sum-exp into lse_TN."""
    groups = k_GSH.shape[0]
    heads = q_TNH.shape[1] // groups
    kept = [
        None if chosen is None else KeptKeys(chosen, meta)
        for chosen in (pattern.groups if pattern is not None else [None] * groups)
    ]
    positions = positions_per_block(heads, TARGET_ROWS)
    for start, end in row_blocks(meta.start, meta.num_keys, meta.geometry, positions):
        rows = slice(start - meta.start, end - meta.start)
        for group, keys in enumerate(kept):
            mine = slice(group * heads, (group + 1) * heads)
            block = Block(
                q_TNH[rows, mine], k_GSH[group], v_GSH[group], meta, start, scratch, softmax
            )
            if keys is None:
                _attend_dense(block)
            else:
                _attend_kept(block, keys.block(start, end))
            block.write(out_TNH[rows, mine], None if lse_TN is None else lse_TN[rows, mine])


def _keys_at_once(block: Block, num_rows: int) -> int:
    like = block.q_PRH
    most = block.softmax.most_keys(num_rows, like.dtype, like.device)
    keys = min(TARGET_SCORES // num_rows, most) // MASK_POSITIONS * MASK_POSITIONS
    return max(MASK_POSITIONS, keys)


def _attend_dense(block: Block) -> None:
    """All causal keys: the block's own first, then everything before it."""
    cuts = [*range(block.start, block.end, MASK_POSITIONS), block.end]
    own = [
        (block.rows(a, b), KeySpan(INTRA, block.start, b), block.causal_mask(b - a))
        for a, b in itertools.pairwise(cuts)
    ]
    _begin(block, own, spans_between(0, min(SINKS, block.start), block.start, block.meta.geometry))
    for rows, span, mask_MK in own:
        block.add(rows, [span], mask_MK)
    for span in spans_between(0, block.start, block.start, block.meta.geometry):
        for tile in tiles(span, _keys_at_once(block, block.num_rows)):
            block.add(slice(None), [tile])


_Own = tuple[slice, KeySpan, Tensor]
"""Rows, the keys of their own tile, and the mask of the last of these keys."""


def _begin(block: Block, own: list[_Own], sinks: list[KeySpan]) -> None:
    """Give a softmax that asks for them the row maxima over own keys and sinks."""
    if not block.softmax.needs_maximum:
        return
    maximum_M = torch.cat([block.maximum(*part) for part in own])
    for span in sinks:
        maximum_M = torch.maximum(maximum_M, block.maximum(slice(None), span))
    block.softmax.begin(maximum_M)


def _attend_kept(block: Block, kept: KeptBlock) -> None:
    """A sparse pattern's keys: each query tile's own, its kept tiles, then the block's columns."""
    own = [(a, b, span) for (a, b), span in kept.own_tiles()]
    parts = [(block.rows(a, b), span, block.causal_mask(b - a)) for a, b, span in own]
    _begin(block, parts, kept.shared_sinks(SINKS))
    size = _keys_at_once(block, block.num_rows)
    for (a, _, own_span), (rows, _, causal_MK) in zip(own, parts, strict=True):
        block.add(rows, [own_span], causal_MK)
        more = _keys_at_once(block, rows.stop - rows.start)
        for spans in kept.tiles_before(own_span.start, a, more):
            block.add(rows, spans)
    for rotation, slots_K, mask_MK in kept.columns(size, block.heads, block.q_PRH.dtype):
        block.add_slots(rotation, slots_K, mask_MK)
