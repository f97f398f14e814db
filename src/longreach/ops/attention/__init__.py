"""Dual chunk attention over one KV pool: prefill and decode, dense and sparse, one function.

Shape letters: T rows of the slice, N query heads, G kv heads, H head dim, S physical KV slots.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from longreach.errors import ShapeError, UnsupportedError
from longreach.ops.attention import torch_fused, torch_rows, torch_tiles
from longreach.ops.attention.meta import KeyRun, KeyRuns, QueryRotations, SliceMeta, prepare_slice
from longreach.ops.attention.reference import attention_reference
from longreach.ops.attention.scratch import AttentionScratch
from longreach.ops.attention.span_mass import SPAN_SCRATCH_BYTES, span_mass
from longreach.ops.attention.span_reference import span_mass_reference
from longreach.ops.pattern import Pattern

__all__ = [
    "SPAN_SCRATCH_BYTES",
    "AttentionScratch",
    "KeyRun",
    "KeyRuns",
    "QueryRotations",
    "SliceMeta",
    "attend_slice",
    "attention_reference",
    "prepare_slice",
    "span_mass",
    "span_mass_reference",
]


class _Twin(Protocol):
    __name__: str

    def supports(
        self, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, pattern: Pattern | None
    ) -> str | None: ...

    def attend(
        self,
        q_TNH: Tensor,
        k_GSH: Tensor,
        v_GSH: Tensor,
        meta: SliceMeta,
        pattern: Pattern | None,
        scratch: AttentionScratch,
        out_TNH: Tensor,
        lse_TN: Tensor | None,
    ) -> None: ...


_log = logging.getLogger("longreach")


def attend_slice(
    q_TNH: Tensor,
    k_GSH: Tensor,
    v_GSH: Tensor,
    meta: SliceMeta,
    pattern: Pattern | None = None,
    *,
    scratch: AttentionScratch,
    out_TNH: Tensor | None = None,
    return_lse: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Causal attention of one slice with dual chunk positions (arXiv 2402.17463, section 3).

    q_TNH: before rotary embedding. k_GSH, v_GSH: one layer's whole pool; keys already rotated at
    `j mod L`, never scaled, the slice's own keys included; meta.runs says where each key lies. A
    pool may be narrower than q (bf16 under float32): computation is in q's dtype.
    pattern: the keys each row keeps, per kv group (None: all causal keys).
    Returns out_TNH in q's dtype and, on request, lse_TN (float32, natural log). Equals
    `attention_reference` on un-rotated keys for any cut into slices and any page order.
    Raises ShapeError, UnsupportedError.
    """
    _check(q_TNH, k_GSH, v_GSH, meta, pattern)
    if out_TNH is None:
        out_TNH = torch.empty_like(q_TNH, memory_format=torch.contiguous_format)
    elif out_TNH.shape != q_TNH.shape or out_TNH.dtype != q_TNH.dtype:
        raise ShapeError(f"out is {_form(out_TNH)} but q is {_form(q_TNH)}: expected the same")
    lse_TN = q_TNH.new_empty(q_TNH.shape[:2], dtype=torch.float32) if return_lse else None
    twin = _choose(q_TNH, k_GSH, meta, pattern)
    twin.attend(q_TNH, k_GSH, v_GSH, meta, pattern, scratch, out_TNH, lse_TN)
    return out_TNH, lse_TN


def _choose(q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, pattern: Pattern | None) -> _Twin:
    """The fastest twin that can: few rows, float32 or hardware tiles, anything."""
    reasons: dict[str, str] = {}
    for twin in (torch_rows, torch_fused, torch_tiles):
        reason = twin.supports(q_TNH, k_GSH, meta, pattern)
        if reason is None:
            if reasons and meta.length == 1 and pattern is None and q_TNH.device.type == "cpu":
                _log_fallback(_name(twin), _name(torch_rows), reasons[_name(torch_rows)])
            return twin
        reasons[_name(twin)] = reason
    listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise UnsupportedError(f"attention of q {_form(q_TNH)} over k {_form(k_GSH)}: {listed}")


@cache
def _log_fallback(chosen: str, refused: str, reason: str) -> None:
    _log.warning("decoding with %s instead of %s: %s", chosen, refused, reason)


def _name(twin: _Twin) -> str:
    return twin.__name__.rsplit(".", 1)[-1]


def _form(x: Tensor) -> str:
    return f"{list(x.shape)} {str(x.dtype).removeprefix('torch.')} on {x.device}"


def _check(
    q_TNH: Tensor, k_GSH: Tensor, v_GSH: Tensor, meta: SliceMeta, pattern: Pattern | None
) -> None:
    if q_TNH.dim() != 3 or k_GSH.dim() != 3 or k_GSH.shape != v_GSH.shape:
        raise ShapeError(
            f"q is {_form(q_TNH)}, k {_form(k_GSH)}, v {_form(v_GSH)}: "
            "expected [T, N, H] and two [G, S, H]"
        )
    num_rows, num_heads, head_dim = q_TNH.shape
    num_kv_heads, num_slots, key_dim = k_GSH.shape
    if head_dim != key_dim or num_kv_heads == 0 or num_heads % num_kv_heads:
        raise ShapeError(
            f"q is {_form(q_TNH)} but k is {_form(k_GSH)}: "
            "expected one head dim, and heads a multiple"
        )
    if num_rows != meta.length or head_dim != 2 * meta.key_rotation[0].shape[-1]:
        raise ShapeError(
            f"q is {_form(q_TNH)} but the slice has {meta.length} rows of head dim "
            f"{2 * meta.key_rotation[0].shape[-1]}"
        )
    if meta.runs.last_slot >= num_slots:
        raise ShapeError(f"key runs reach slot {meta.runs.last_slot} but k is {_form(k_GSH)}")
    floats = q_TNH.is_floating_point() == k_GSH.is_floating_point()
    if not floats or k_GSH.dtype != v_GSH.dtype or q_TNH.device != k_GSH.device:
        raise ShapeError(
            f"q is {_form(q_TNH)}, k {_form(k_GSH)}, v {_form(v_GSH)}: "
            "expected floats on one device, k and v of one dtype"
        )
    if pattern is not None and len(pattern.groups) != num_kv_heads:
        raise ShapeError(f"pattern has {len(pattern.groups)} groups but k is {_form(k_GSH)}")
