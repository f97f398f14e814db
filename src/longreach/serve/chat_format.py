"""Events as chat completions: one `chat.completion`, or its chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from longreach.engine.outputs import FinishReason
from longreach.engine.protocol import PromptProgress
from longreach.serve.collect import Answer, Call, Collected
from longreach.serve.events import Event, Finished, Part, Piece, Reasoning, TokenLogprobs
from longreach.serve.logprobs import HeldLogprobs, chat_logprobs, prompt_logprobs
from longreach.serve.usage import figures_of, usage_of
from longreach.text.tools import ArgumentsDelta, CallStarted, Content, make_call_id

if TYPE_CHECKING:
    from longreach.text import Tokenizer


@dataclass(frozen=True, kw_only=True)
class ChatStyle:
    """What all chunks of an answer share, and what the client asked to be told.

    num_logprobs: of the best tokens, None for no logprobs. legacy: calls are `function_call`.
    """

    id: str
    model: str
    fingerprint: str
    tokenizer: Tokenizer
    num_logprobs: int | None = None
    legacy: bool = False
    usage: bool = False
    progress: bool = False
    created: int = field(default_factory=lambda: int(time.time()))

    def head(self, kind: str) -> dict[str, Any]:
        """The first fields of every object."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def finish_reason(self, reason: FinishReason | None, *, has_calls: bool) -> str | None:
        """The engine's reason in OpenAI's words: a cut call is "length", a whole one its own."""
        if reason == "stop" and has_calls:
            return "function_call" if self.legacy else "tool_calls"
        return reason

    def logprobs(
        self, token_ids: list[int], logprobs: list[TokenLogprobs]
    ) -> dict[str, Any] | None:
        """The `logprobs` of a choice."""
        if self.num_logprobs is None:
            return None
        content = chat_logprobs(self.tokenizer, token_ids, logprobs, self.num_logprobs)
        return {"content": content, "refusal": None}


# --- whole


def chat_completion(style: ChatStyle, collected: Collected) -> dict[str, Any]:
    """The answer of a request without `stream`."""
    finished = collected.finished
    whole = {
        **style.head("chat.completion"),
        "choices": [_choice(style, answer) for answer in collected.answers],
        "usage": usage_of([finished]),
        **figures_of([finished]),
    }
    if finished.prompt_logprobs is not None:
        whole["prompt_logprobs"] = prompt_logprobs(finished.prompt_logprobs)
    return whole


def _choice(style: ChatStyle, answer: Answer) -> dict[str, Any]:
    reason = style.finish_reason(answer.finish_reason, has_calls=bool(answer.calls))
    return {
        "index": answer.index,
        "message": _message(style, answer),
        "logprobs": style.logprobs(answer.token_ids, answer.logprobs),
        "finish_reason": reason,
        "stop_reason": answer.stop_reason,
    }


def _message(style: ChatStyle, answer: Answer) -> dict[str, Any]:
    content = answer.content or (None if answer.calls else "")
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls and style.legacy:
        message["function_call"] = _function(answer.calls[0])
    elif answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": _function(call)}
            for call in answer.calls
        ]
    return message


def _function(call: Call) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments}


# --- in chunks


class ChatChunks:
    """Turns events into `chat.completion.chunk` objects, in order.

    The role comes with a choice's first piece, so the first chunk a client sees of a choice is the
    first token's.
    """

    def __init__(self, style: ChatStyle) -> None:
        self._style = style
        self._begun: set[int] = set()
        self._held = HeldLogprobs()
        self._last: dict[str, Any] | None = None

    def of(self, event: Event) -> Iterator[dict[str, Any]]:
        """The chunks of an event; none while its text is still held back."""
        if isinstance(event, Piece):
            yield from self._piece(event)
        elif isinstance(event, Finished):
            yield from self._end(event)
        elif self._style.progress:
            yield self._progress(event)

    def _piece(self, piece: Piece) -> Iterator[dict[str, Any]]:
        if piece.index not in self._begun:
            self._begun.add(piece.index)
            yield self._chunk(piece.index, {"role": "assistant", "content": ""})
        self._held.add(piece)
        for part in piece.parts:
            if delta := self._delta(part):
                yield self._chunk(piece.index, delta, logprobs=self._logprobs(piece.index))
        if piece.finish_reason is not None:
            if held := self._logprobs(piece.index):
                yield self._chunk(piece.index, {"content": ""}, logprobs=held)
            yield from self._hold_last(piece)

    def _hold_last(self, piece: Piece) -> Iterator[dict[str, Any]]:
        """A choice's last chunk is kept until it is known whether it is the stream's last."""
        reason = self._style.finish_reason(piece.finish_reason, has_calls=piece.has_calls)
        last, self._last = self._last, self._chunk(piece.index, {}, reason, stop=piece.stop_reason)
        if last is not None:
            yield last

    def _end(self, finished: Finished) -> Iterator[dict[str, Any]]:
        figures = figures_of([finished])
        last = self._last or self._bare()
        if not self._style.usage:
            yield last | figures
            return
        yield last
        yield {**self._bare(), "usage": usage_of([finished]), **figures}

    def _bare(self) -> dict[str, Any]:
        return {**self._style.head("chat.completion.chunk"), "choices": []}

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        reason: str | None = None,
        *,
        logprobs: dict[str, Any] | None = None,
        stop: int | str | None = None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        if reason is not None:
            choice["stop_reason"] = stop
        chunk = {**self._style.head("chat.completion.chunk"), "choices": [choice]}
        if self._style.usage:
            chunk["usage"] = None
        return chunk

    def _delta(self, part: Part) -> dict[str, Any] | None:
        match part:
            case Content():
                return {"content": part.text}
            case Reasoning():
                return {"reasoning_content": part.text}
            case CallStarted():
                return self._call(part)
            case ArgumentsDelta() if self._style.legacy:
                return {"function_call": {"arguments": part.text}}
            case ArgumentsDelta():
                function = {"arguments": part.text}
                return {"tool_calls": [{"index": part.index, "function": function}]}
        return None

    def _call(self, part: CallStarted) -> dict[str, Any]:
        """The id is sent once: some clients take each id for a new call."""
        function = {"name": part.name, "arguments": ""}
        if self._style.legacy:
            return {"function_call": function}
        call = {"index": part.index, "id": make_call_id(), "type": "function"}
        return {"tool_calls": [{**call, "function": function}]}

    def _progress(self, progress: PromptProgress) -> dict[str, Any]:
        chunk = self._bare()
        if self._style.usage:
            chunk["usage"] = None
        return {**chunk, "prompt_progress": progress_of(progress)}

    def _logprobs(self, index: int) -> dict[str, Any] | None:
        """Of the tokens since the last chunk with text."""
        held = self._held.take(index)
        return None if held is None else self._style.logprobs(*held)


def progress_of(progress: PromptProgress) -> dict[str, Any]:
    """llama.cpp's `prompt_progress`, and the milliseconds left (null while unknown)."""
    eta_s = progress.eta_s
    return {
        "total": progress.total,
        "cache": progress.cached,
        "processed": progress.processed,
        "time_ms": progress.time_ms,
        "eta_ms": None if eta_s is None else 1000 * eta_s,
    }
