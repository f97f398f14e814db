"""Attention of many rows as GEMMs over cache-sized tiles, in plain torch, on any device.

Shape letters: T rows of the slice, N query heads, G kv heads, R = N // G query heads of a kv group,
M GEMM rows of a block (positions x R), K keys of a tile, S physical slots, H head dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longreach.ops.attention.block import MASK_POSITIONS, Block
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
SINKS = 64
"""First keys of the text, where outliers live: looked at before a row's shift is chosen."""

_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def supports(
    q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, pattern: Pattern | None
) -> str | None:
    """None when this twin can run the arguments, otherwise why not."""
    return None if q_TNH.dtype in _DTYPES else f"{q_TNH.dtype} is not one of {_DTYPES}"


def attend(
    q_TNH: Tensor,
    k_GSH: Tensor,
    v_GSH: Tensor,
    meta: SliceMeta,
    pattern: Pattern | None,
    scratch: AttentionScratch,
    out_TNH: Tensor,
    lse_TN: Tensor | None,
) -> None:
    """Write attention of the whole slice into out_TNH, and its log-sum-exp into lse_TN."""
    groups = k_GSH.shape[0]
    heads = q_TNH.shape[1] // groups
    kept = [
        None if pattern is None or (mine := pattern.groups[g]) is None else KeptKeys(mine, meta)
        for g in range(groups)
    ]
    positions = positions_per_block(heads, TARGET_ROWS)
    for start, end in row_blocks(meta.start, meta.num_keys, meta.geometry, positions):
        rows = slice(start - meta.start, end - meta.start)
        for group in range(groups):
            mine = slice(group * heads, (group + 1) * heads)
            block = Block(q_TNH[rows, mine], k_GSH[group], v_GSH[group], meta, start, scratch)
            keys = kept[group]
            if keys is None:
                _attend_dense(block)
            else:
                _attend_kept(block, keys.block(start, end))
            block.write(out_TNH[rows, mine], None if lse_TN is None else lse_TN[rows, mine])


def _keys_at_once(block: Block) -> int:
    return max(MASK_POSITIONS, TARGET_SCORES // block.num_rows)


def _attend_dense(block: Block) -> None:
    """All causal keys: the block's own first, then everything before it."""
    cuts = [*range(block.start, block.end, MASK_POSITIONS), block.end]
    own = [
        (block.rows(a, b), KeySpan(INTRA, block.start, b), block.causal_mask(b - a))
        for a, b in zip(cuts, cuts[1:], strict=False)
    ]
    maximum_M = torch.cat([block.maximum(*part) for part in own])
    sinks = spans_between(0, min(SINKS, block.start), block.start, block.meta.geometry)
    block.softmax.begin(_at_least(block, maximum_M, sinks))
    for rows, span, mask_MK in own:
        block.add(rows, [span], mask_MK)
    for span in spans_between(0, block.start, block.start, block.meta.geometry):
        for tile in tiles(span, _keys_at_once(block)):
            block.add(slice(None), [tile])


def _at_least(block: Block, maximum_M: Tensor, spans: list[KeySpan]) -> Tensor:
    for span in spans:
        maximum_M = torch.maximum(maximum_M, block.maximum(slice(None), span))
    return maximum_M


def _attend_kept(block: Block, kept: KeptBlock) -> None:
    """A sparse pattern's keys: each query tile's own, its kept tiles, then the block's columns."""
    maxima = [
        block.maximum(block.rows(a, b), own, block.causal_mask(b - a))
        for (a, b), own in kept.own_tiles()
    ]
    block.softmax.begin(_at_least(block, torch.cat(maxima), kept.shared_sinks(SINKS)))
    size = _keys_at_once(block)
    for (a, b), own in kept.own_tiles():
        rows = block.rows(a, b)
        block.add(rows, [own], block.causal_mask(b - a))
        for spans in kept.tiles_before(own.start, a, size * block.num_rows // (rows.stop - rows.start)):
            block.add(rows, spans)
    for rotation, slots_K, mask_MK in kept.columns(size, block.heads, block.q_PRH.dtype):
        block.add_slots(rotation, slots_K, mask_MK)
