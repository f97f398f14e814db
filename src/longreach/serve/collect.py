"""Whole answers out of events, for those who do not stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from longreach.engine.outputs import FinishReason
from longreach.serve.events import Event, Finished, Part, Piece, Reasoning, TokenLogprobs
from longreach.text.tools import ArgumentsDelta, CallStarted, Content, make_call_id


@dataclass
class Call:
    """A tool call. arguments: JSON text, as the model wrote it."""

    name: str
    arguments: str = ""
    id: str = field(default_factory=make_call_id)


@dataclass
class Answer:
    """One of the `n` answers. logprobs: per token, empty when not asked for."""

    index: int
    content: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None

    def add(self, piece: Piece) -> None:
        """Take what is new."""
        for part in piece.parts:
            self._add_part(part)
        self.token_ids += piece.token_ids
        self.logprobs += piece.logprobs or ()
        self.finish_reason = piece.finish_reason
        self.stop_reason = piece.stop_reason

    def _add_part(self, part: Part) -> None:
        match part:
            case Content():
                self.content += part.text
            case Reasoning():
                self.reasoning += part.text
            case CallStarted():
                self.calls.append(Call(part.name))
            case ArgumentsDelta():
                self.calls[part.index].arguments += part.text


@dataclass(frozen=True)
class Collected:
    """All answers to one prompt, by index, and what they took."""

    answers: list[Answer]
    finished: Finished


async def collect(events: AsyncIterator[Event]) -> Collected:
    """Wait for all of a generation. Raises ApiError when it fails."""
    answers: dict[int, Answer] = {}
    finished: Finished | None = None
    async for event in events:
        if isinstance(event, Piece):
            answers.setdefault(event.index, Answer(event.index)).add(event)
        elif isinstance(event, Finished):
            finished = event
    assert finished is not None, "an engine's last output is finished, or an error"
    return Collected([answers[index] for index in sorted(answers)], finished)
