"""A response as it grows: events of a generation in, the events of OpenAI's stream out.

created, in_progress, then for each item of the output
    output_item.added, its deltas, output_item.done
and at last one of completed, incomplete, failed, cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from longreach.engine.outputs import FinishReason
from longreach.serve.errors import ApiError
from longreach.serve.events import Event, Finished, Part, Piece, Reasoning
from longreach.serve.logprobs import HeldLogprobs, chat_logprobs
from longreach.serve.responses.output import (
    CallOutput,
    MessageOutput,
    OpenItem,
    ReasoningOutput,
    Status,
    StreamEvent,
)
from longreach.serve.usage import figures_of
from longreach.text.tools import ArgumentsDelta, CallEnded, CallStarted, Content

if TYPE_CHECKING:
    from longreach.text import Tokenizer

Text = TypeVar("Text", MessageOutput, ReasoningOutput)


class ResponseWriter:
    """Writes one response.

    response: as it stands; what is read later is the same object. Events must be used (sent,
    copied) before the next one is taken, because they share its items.
    num_logprobs: of the best tokens, None for no logprobs.
    """

    def __init__(
        self, response: dict[str, Any], tokenizer: Tokenizer, num_logprobs: int | None = None
    ) -> None:
        self.response = response
        self._tokenizer = tokenizer
        self._num_logprobs = num_logprobs
        self._held = HeldLogprobs()
        self._open: OpenItem | None = None
        self._sequence_number = 0
        self._reason: FinishReason | None = None

    def begin(self) -> Iterator[StreamEvent]:
        """The response is there, and waits where it is a background one."""
        yield from self._numbered([self._of_response("created")])
        if self.response["status"] == "queued":
            yield from self._numbered([self._of_response("queued")])
        else:
            yield from self._numbered([self._of_response("in_progress")])

    def of(self, event: Event) -> Iterator[StreamEvent]:
        """What an event changes. After `Finished` the response is complete, and `end` tells so."""
        if self.response["status"] == "queued":
            self.response["status"] = "in_progress"
            yield from self._numbered([self._of_response("in_progress")])
        if isinstance(event, Piece):
            yield from self._numbered(self._piece(event))
        elif isinstance(event, Finished):
            yield from self._numbered(self._finish(event))

    def fail(self, error: ApiError) -> Iterator[StreamEvent]:
        """It ends here, by a failure."""
        self.response["error"] = {"code": _failure_code(error), "message": error.message}
        yield from self._numbered(self._stop("failed"))

    def cancel(self) -> Iterator[StreamEvent]:
        """It ends here, because somebody said so."""
        yield from self._numbered(self._stop("cancelled"))

    def end(self) -> Iterator[StreamEvent]:
        """The last event: the whole response."""
        yield from self._numbered([self._of_response(self.response["status"])])

    def _numbered(self, events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
        for event in events:
            yield {**event, "sequence_number": self._sequence_number}
            self._sequence_number += 1

    def _of_response(self, what: str) -> StreamEvent:
        return {"type": f"response.{what}", "response": self.response}

    def _piece(self, piece: Piece) -> Iterator[StreamEvent]:
        if self._num_logprobs is not None:
            self._held.add(piece)
        for part in piece.parts:
            yield from self._part(part)
        if piece.finish_reason is not None:
            self._reason = piece.finish_reason
            yield from self._rest_of_logprobs()

    def _part(self, part: Part) -> Iterator[StreamEvent]:
        match part:
            case Content():
                item = yield from self._item(MessageOutput)
                yield from item.add(part.text, self._logprobs())
            case Reasoning():
                thoughts = yield from self._item(ReasoningOutput)
                self._held.take(0)
                yield from thoughts.add(part.text)
            case CallStarted():
                yield from self._begin(CallOutput(self._next_index, part.name))
            case ArgumentsDelta() if isinstance(self._open, CallOutput):
                self._held.take(0)
                yield from self._open.add(part.text)
            case CallEnded():
                yield from self._close("completed" if part.is_complete else "incomplete")

    def _item(self, kind: type[Text]) -> Generator[StreamEvent, None, Text]:
        """The open item if it is of this kind; else a new one."""
        if not isinstance(self._open, kind):
            yield from self._begin(kind(self._next_index))
        assert isinstance(self._open, kind)
        return self._open

    @property
    def _next_index(self) -> int:
        return len(self.response["output"])

    def _begin(self, item: OpenItem) -> Iterator[StreamEvent]:
        yield from self._close("completed")
        self._open = item
        self.response["output"].append(item.item)
        yield from item.begin()

    def _close(self, status: Status) -> Iterator[StreamEvent]:
        item, self._open = self._open, None
        if item is not None:
            yield from item.end(status)

    def _finish(self, finished: Finished) -> Iterator[StreamEvent]:
        is_cut = self._reason == "length"
        if not self.response["output"]:
            yield from self._begin(MessageOutput(0))  # even if it says nothing
        if is_cut:
            self.response["incomplete_details"] = {"reason": "max_output_tokens"}
        self.response["usage"] = usage_of(finished)
        self.response |= figures_of([finished])
        yield from self._stop("incomplete" if is_cut else "completed")

    def _stop(self, status: str) -> Iterator[StreamEvent]:
        yield from self._close("completed" if status == "completed" else "incomplete")
        self.response["status"] = status
        if status == "completed":
            self.response["completed_at"] = int(time.time())

    def _rest_of_logprobs(self) -> Iterator[StreamEvent]:
        """Tokens whose text was none, such as the one that ends the answer."""
        if isinstance(self._open, MessageOutput) and (left := self._logprobs()):
            yield from self._open.add("", left)

    def _logprobs(self) -> list[dict[str, Any]]:
        held = self._held.take(0)
        if held is None or self._num_logprobs is None:
            return []
        return chat_logprobs(self._tokenizer, *held, self._num_logprobs)


def usage_of(finished: Finished) -> dict[str, Any]:
    """Tokens in and out."""
    metrics = finished.metrics
    read, written = metrics.num_prompt_tokens, metrics.num_generated_tokens
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": metrics.num_cached_tokens,
            "cache_write_tokens": metrics.num_cache_written_tokens,
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": finished.reasoning_tokens},
        "total_tokens": read + written,
    }


def _failure_code(error: ApiError) -> str:
    """The closest of the codes that OpenAI's clients know."""
    if error.status < 500:
        return "invalid_prompt"
    return "rate_limit_exceeded" if error.type == "rate_limit_error" else "server_error"
