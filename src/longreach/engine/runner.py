"""Turns the slices of a step into one packed batch, and runs the decoder on it.

Shape letters: T packed rows, R rows whose hidden state is wanted, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longreach.cache import KVCache, PageTable
from longreach.engine.positions import Positions, RequestPositions
from longreach.models.batch import AttentionChoice, BatchSlice, StepBatch, ignore, never
from longreach.models.decoder import Decoder


@dataclass(frozen=True, kw_only=True)
class SliceWork:
    """Rows [start, start + len(token_ids)) of one request.

    pieces: the rows cut where their attention changes, (start, end) each, without gaps.
    num_wanted: how many of the last rows need their final hidden state (0: none).
    """

    token_ids: Sequence[int]
    start: int
    table: PageTable
    positions: RequestPositions
    choice: AttentionChoice
    pieces: Sequence[tuple[int, int]]
    num_wanted: int

    @property
    def end(self) -> int:
        """One past the last row."""
        return self.start + len(self.token_ids)


class Runner:
    """One decoder over one pool. Holds no state of requests."""

    def __init__(
        self, decoder: Decoder, cache: KVCache, positions: Positions, device: torch.device
    ) -> None:
        self.decoder = decoder
        self.cache = cache
        self.positions = positions
        self.device = device

    @torch.inference_mode()
    def run(
        self,
        work: Sequence[SliceWork],
        *,
        should_stop: Callable[[], bool] = never,
        on_layer: Callable[[int], None] = ignore,
    ) -> list[Tensor] | None:
        """Compute all rows; per slice its wanted hidden states [rows, D], final-normed.

        None when `should_stop` ended the step between two layers: then nothing counts as computed.
        """
        batch = self.make_batch(work, should_stop=should_stop, on_layer=on_layer)
        hidden_RD = self.decoder(batch.token_ids_T, batch, self.cache.pool)
        if hidden_RD is None:
            return None
        return list(hidden_RD.split([piece.num_wanted for piece in work]))

    @torch.inference_mode()
    def logits(self, hidden_RD: Tensor) -> Tensor:
        """Logits of final-normed rows, float32 [R, vocabulary]."""
        return self.decoder.logits(hidden_RD)

    def free_memory(self) -> None:
        """Give back the buffers that are kept between steps, after a step did not find its own."""
        self.decoder.scratch.release()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        """Wait for what the device still computes."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def make_batch(
        self,
        work: Sequence[SliceWork],
        *,
        should_stop: Callable[[], bool] = never,
        on_layer: Callable[[int], None] = ignore,
    ) -> StepBatch:
        """Pack the slices in order."""
        slices: list[BatchSlice] = []
        wanted: list[Tensor] = []
        row = 0
        for piece in work:
            slices += self._slices(piece, row)
            row += len(piece.token_ids)
            wanted.append(torch.arange(row - piece.num_wanted, row))
        ids = [token for piece in work for token in piece.token_ids]
        slots = torch.cat([piece.table.slots(piece.start, piece.end) for piece in work])
        return StepBatch(
            token_ids_T=torch.tensor(ids, dtype=torch.int64, device=self.device),
            slot_mapping_T=slots.to(self.device),
            slices=tuple(slices),
            logit_rows=torch.cat(wanted).to(self.device),
            should_stop=should_stop,
            on_layer=on_layer,
        )

    def _slices(self, piece: SliceWork, row: int) -> list[BatchSlice]:
        out = []
        for start, end in piece.pieces:
            meta = self.positions.prepare(
                piece.positions, start, end - start, piece.table.runs(end)
            )
            first = row + start - piece.start
            out.append(BatchSlice(first, first + end - start, meta, piece.choice))
        return out
