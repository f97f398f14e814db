"""What one step of the decoder runs: packed rows, where their keys go, and who attends to what.

Made once per step by the engine and passed as an argument (never a global); every layer reads it.

Shape letters: T packed new rows of the step, N query heads, G kv heads, S physical KV slots,
H head dim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

from longreach.errors import ShapeError

if TYPE_CHECKING:
    from longreach.ops.attention import SliceMeta
    from longreach.ops.sparse import Pattern


class AttentionChoice(Protocol):
    """One request's say in what its rows attend to; may carry state from slice to slice."""

    def choose(
        self, layer: int, q_TNH: torch.Tensor, k_GSH: torch.Tensor, meta: SliceMeta
    ) -> Pattern | None:
        """Pattern of this slice in this layer, None for dense.

        q_TNH: the slice's queries before rotation. k_GSH: the layer's whole pool; the slice's own
        keys are already in it.
        """
        ...


class DenseChoice:
    """Attends to everything."""

    def choose(
        self, layer: int, q_TNH: torch.Tensor, k_GSH: torch.Tensor, meta: SliceMeta
    ) -> Pattern | None:
        """Always None."""
        return None


class KVStore(Protocol):
    """Where keys and values live: per layer one pool [G, S, H] of keys and one of values."""

    @property
    def k(self) -> Sequence[torch.Tensor]:
        """Keys of each layer, rotated at position mod chunk_len, unscaled."""
        ...

    @property
    def v(self) -> Sequence[torch.Tensor]:
        """Values of each layer."""
        ...

    def write(
        self, layer: int, slots_T: torch.Tensor, k_TGH: torch.Tensor, v_TGH: torch.Tensor
    ) -> None:
        """Store row t in slot slots_T[t] of `layer`."""
        ...


class BatchSlice(NamedTuple):
    """Rows [row_start, row_end) of the step belong to one request."""

    row_start: int
    row_end: int
    meta: SliceMeta
    choice: AttentionChoice


def never() -> bool:
    """The default of `should_stop`."""
    return False


def ignore(layer: int) -> None:
    """The default of `on_layer`."""


@dataclass(frozen=True, kw_only=True)
class StepBatch:
    """One step: several slices (prefill or decode) packed into T rows.

    token_ids_T: int64. slot_mapping_T: int64, the KV slot of each row. logit_rows: int64 rows whose
    final hidden state is wanted. `should_stop` is polled between layers; `on_layer` is called after
    each.
    """

    token_ids_T: torch.Tensor
    slot_mapping_T: torch.Tensor
    slices: tuple[BatchSlice, ...]
    logit_rows: torch.Tensor
    should_stop: Callable[[], bool] = never
    on_layer: Callable[[int], None] = ignore

    def __post_init__(self) -> None:
        rows = self.num_rows
        if self.token_ids_T.dim() != 1 or self.slot_mapping_T.shape != self.token_ids_T.shape:
            raise ShapeError(
                f"token_ids_T has shape {tuple(self.token_ids_T.shape)} and slot_mapping_T "
                f"{tuple(self.slot_mapping_T.shape)}: expected one equal dimension"
            )
        end = 0
        for piece in self.slices:
            if piece.row_start != end or piece.row_end <= piece.row_start:
                raise ShapeError(
                    f"slice [{piece.row_start}, {piece.row_end}) does not follow row {end}"
                )
            end = piece.row_end
        if end != rows:
            raise ShapeError(f"the slices cover {end} rows of {rows}")

    @property
    def num_rows(self) -> int:
        """T."""
        return self.token_ids_T.numel()
