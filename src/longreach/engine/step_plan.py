"""What one step computes, and who may have a say in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from longreach.engine.request import Request, RequestState


@dataclass(frozen=True, slots=True)
class ScheduledSlice:
    """Tokens [start, start + length) of one request, to be computed in this step.

    A decode has one row, and one more for each draft token that it checks.
    """

    request: Request
    start: int
    length: int
    is_decode: bool
    samples: bool
    """Whether the slice ends what is known, so that a token follows: each decode, and a prompt's
    last slice."""

    @property
    def end(self) -> int:
        """One past the last token of the slice."""
        return self.start + self.length

    @property
    def is_last_prefill(self) -> bool:
        """Whether the slice ends a prompt, and so gives the first new token."""
        return self.samples and not self.is_decode

    @property
    def token_ids(self) -> list[int]:
        """The tokens to feed."""
        return self.request.token_ids(self.start, self.end)


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step: decodes first, oldest first, then slices of prompts. Pages are reserved."""

    slices: tuple[ScheduledSlice, ...] = ()
    preempted: tuple[Request, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Rows of the step."""
        return sum(piece.length for piece in self.slices)

    @property
    def num_pairs(self) -> int:
        """Each row times the keys that come before its slice."""
        return sum(piece.length * piece.start for piece in self.slices)


class RowLimit(Protocol):
    """Bounds the prompt rows of a step by more than a number of tokens."""

    def __call__(self, start: int, decodes: Sequence[int]) -> int:
        """Most rows for prompts of which the oldest is read up to `start`, at least 1.

        decodes: how many keys each decode of the step reads.
        """
        ...


class Draft(Protocol):
    """Guesses what a request says next."""

    def __call__(self, request: Request, room: int) -> Sequence[int]:
        """At most `room` tokens; the same ones until the request has got another token."""
        ...


def slice_of(request: Request, length: int) -> ScheduledSlice:
    """The next `length` tokens of a request."""
    start = request.num_computed_tokens
    return ScheduledSlice(
        request=request,
        start=start,
        length=length,
        is_decode=request.state is RequestState.DECODE,
        samples=start + length >= request.num_tokens,
    )
