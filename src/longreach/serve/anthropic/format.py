"""Events as Anthropic's message: whole, or as the events of its stream.

message_start, then for each block
    content_block_start, content_block_delta ..., content_block_stop
then message_delta (why it ended, what it took) and message_stop.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from longreach.engine.outputs import FinishReason
from longreach.serve.anthropic.citations import citations_of
from longreach.serve.collect import Answer, Call, Collected
from longreach.serve.events import Event, Finished, Part, Piece, Reasoning
from longreach.serve.usage import figures_of
from longreach.text.tools import ArgumentsDelta, CallStarted, Content

INVALID_JSON = "INVALID_JSON"
"""The key under which a call's input stands that is no JSON object."""


@dataclass(frozen=True, kw_only=True)
class MessageStyle:
    """What a message carries whatever it says.

    num_prompt_tokens: known before the first event. cites: whether quotes of documents are told.
    """

    id: str
    model: str
    num_prompt_tokens: int
    cites: bool = False

    def citations(self, finished: Finished) -> list[dict[str, Any]]:
        """The citations of the answer's text."""
        sources = finished.sources if self.cites else None
        return [] if sources is None else list(citations_of(sources.quotes))

    def message(self, content: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
        """A message that has not ended."""
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }


def whole_message(style: MessageStyle, collected: Collected) -> dict[str, Any]:
    """The answer of a request without `stream`."""
    answer = collected.answers[0]
    blocks = _blocks(answer, style.citations(collected.finished))
    message = style.message(blocks, _usage(collected.finished))
    stop = _stop(answer.finish_reason, answer.stop_reason, has_calls=bool(answer.calls))
    return {**message, **stop, **figures_of([collected.finished])}


def _blocks(answer: Answer, citations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({**_thinking(), "thinking": answer.reasoning})
    if answer.content:
        cited = {"citations": citations} if citations else {}
        blocks.append({"type": "text", "text": answer.content, **cited})
    return blocks + [{**_tool_use(call.name), "input": _input(call)} for call in answer.calls]


def _thinking() -> dict[str, Any]:
    return {"type": "thinking", "thinking": "", "signature": ""}


def _tool_use(name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{secrets.token_hex(12)}", "name": name, "input": {}}


def _input(call: Call) -> dict[str, Any]:
    try:
        parsed = json.loads(call.arguments)
    except (ValueError, RecursionError):
        parsed = None
    return parsed if isinstance(parsed, dict) else {INVALID_JSON: call.arguments}


def _stop(
    reason: FinishReason | None, stop_reason: int | str | None, *, has_calls: bool
) -> dict[str, str | None]:
    """Why it ended, in Anthropic's words."""
    if reason == "length":
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    if isinstance(stop_reason, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": stop_reason}
    return {"stop_reason": "tool_use" if has_calls else "end_turn", "stop_sequence": None}


def _usage(finished: Finished) -> dict[str, Any]:
    """Tokens of the prompt in three parts: from the cache, newly in the cache, and the rest."""
    metrics = finished.metrics
    computed = metrics.num_prompt_tokens - metrics.num_cached_tokens
    written = min(metrics.num_cache_written_tokens, computed)
    return {
        "input_tokens": computed - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": metrics.num_cached_tokens,
        "output_tokens": metrics.num_generated_tokens,
    }


class MessageEvents:
    """Turns events into the events of a stream, in order."""

    def __init__(self, style: MessageStyle) -> None:
        self._style = style
        self._has_begun = False
        self._index = -1
        self._open: str | None = None
        self._stop: dict[str, str | None] = {}

    def of(self, event: Event) -> Iterator[dict[str, Any]]:
        """What an event tells."""
        if not self._has_begun:
            self._has_begun = True
            yield self._start(event)
        if isinstance(event, Piece):
            yield from self._piece(event)
        elif isinstance(event, Finished):
            yield from self._cite(event)
            yield from self._close()
            usage = _usage(event)
            yield {"type": "message_delta", "delta": self._stop, "usage": usage}
            yield {"type": "message_stop"}

    def _start(self, event: Event) -> dict[str, Any]:
        """The empty message. What is newly cached is known at the end only."""
        cached = getattr(event, "cached", 0)
        usage = {
            "input_tokens": self._style.num_prompt_tokens - cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": 0,
        }
        return {"type": "message_start", "message": self._style.message([], usage)}

    def _piece(self, piece: Piece) -> Iterator[dict[str, Any]]:
        for part in piece.parts:
            yield from self._part(part)
        if piece.finish_reason is not None:
            has_calls = piece.has_calls
            self._stop = _stop(piece.finish_reason, piece.stop_reason, has_calls=has_calls)

    def _part(self, part: Part) -> Iterator[dict[str, Any]]:
        match part:
            case Content():
                yield from self._block({"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": part.text})
            case Reasoning():
                yield from self._block(_thinking())
                yield self._delta({"type": "thinking_delta", "thinking": part.text})
            case CallStarted():
                yield from self._close()
                yield from self._block(_tool_use(part.name))
            case ArgumentsDelta():
                yield self._delta({"type": "input_json_delta", "partial_json": part.text})

    def _cite(self, finished: Finished) -> Iterator[dict[str, Any]]:
        """The quotes of a text that is still open; whoever called a tool has closed it."""
        for citation in self._style.citations(finished) if self._open == "text" else ():
            yield self._delta({"type": "citations_delta", "citation": citation})

    def _block(self, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Begin a block, unless one of its type is open."""
        if self._open == block["type"]:
            return
        yield from self._close()
        self._open = block["type"]
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._index}
