"""Events as Ollama's lines of JSON, and a whole answer as one of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from longreach.engine.outputs import RequestMetrics
from longreach.serve.collect import Answer, Call, Collected
from longreach.serve.errors import ApiError
from longreach.serve.events import Event, Finished, Part, Piece, Reasoning
from longreach.serve.ollama.models import timestamp
from longreach.text.tools import ArgumentsDelta, CallEnded, CallStarted, Content

_NS = 10**9


def ollama_body(error: ApiError) -> dict[str, Any]:
    """The shape of Ollama's errors; the message names the field."""
    message = error.message
    if error.param and error.param not in message:
        message = f"{error.param}: {message}"
    return {"error": message}


@dataclass(frozen=True)
class Said:
    """A piece of an answer, in nobody's place yet. calls: by their index in the answer."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[int, Call], ...] = ()


Place = Callable[[Said], dict[str, Any]]
"""Where a piece of an answer stands: /api/chat and /api/generate differ in this alone."""


def as_message(said: Said) -> dict[str, Any]:
    """A piece of an answer to /api/chat."""
    message: dict[str, Any] = {"role": "assistant", "content": said.text}
    if said.thinking:
        message["thinking"] = said.thinking
    if said.calls:
        message["tool_calls"] = [_call(index, call) for index, call in said.calls]
    return {"message": message}


def as_response(said: Said) -> dict[str, Any]:
    """A piece of an answer to /api/generate."""
    piece = {"response": said.text}
    return piece | {"thinking": said.thinking} if said.thinking else piece


def _call(index: int, call: Call) -> dict[str, Any]:
    """Arguments are an object here; those that are none are shown as they were written."""
    try:
        parsed = json.loads(call.arguments)
    except (ValueError, RecursionError):
        parsed = None
    arguments: Any = parsed if isinstance(parsed, dict) else call.arguments
    function = {"index": index, "name": call.name, "arguments": arguments}
    return {"id": call.id, "function": function}


class OllamaAnswer:
    """Writes the answer to one request. model: as the client called it."""

    def __init__(self, model: str, place: Place) -> None:
        self._model = model
        self._place = place
        self._calls: list[Call] = []
        self._reason: str | None = None

    def loaded(self) -> dict[str, Any]:
        """The answer to a request that asks nothing: the model is there."""
        return self._line(Said(), done=True, done_reason="load")

    def whole(self, collected: Collected) -> dict[str, Any]:
        """The answer of a request with stream: false."""
        answer = collected.answers[0]
        return self._last(_said(answer), answer.finish_reason, collected.finished.metrics)

    def of(self, event: Event) -> Iterator[dict[str, Any]]:
        """The lines of an event."""
        if isinstance(event, Piece):
            self._reason = event.finish_reason
            for part in event.parts:
                if (said := self._part(part)) is not None:
                    yield self._line(said, done=False)
        elif isinstance(event, Finished):
            yield self._last(Said(), self._reason, event.metrics)

    def _part(self, part: Part) -> Said | None:
        match part:
            case Content():
                return Said(text=part.text)
            case Reasoning():
                return Said(thinking=part.text)
            case CallStarted():
                self._calls.append(Call(part.name))
            case ArgumentsDelta():
                self._calls[part.index].arguments += part.text
            case CallEnded():
                return Said(calls=((part.index, self._calls[part.index]),))
        return None

    def _last(self, said: Said, reason: str | None, metrics: RequestMetrics) -> dict[str, Any]:
        return self._line(said, done=True, done_reason=reason or "stop", **_durations(metrics))

    def _line(self, said: Said, **fields: Any) -> dict[str, Any]:
        head = {"model": self._model, "created_at": timestamp(time.time())}
        return {**head, **self._place(said), **fields}


def _said(answer: Answer) -> Said:
    return Said(answer.content, answer.reasoning, tuple(enumerate(answer.calls)))


def _durations(metrics: RequestMetrics) -> Mapping[str, int]:
    """Nanoseconds and tokens. The model was loaded before, which took nothing now."""
    queue_s, prefill_s, decode_s = (
        seconds or 0.0 for seconds in (metrics.queue_s, metrics.prefill_s, metrics.decode_s)
    )
    return {
        "total_duration": _ns(queue_s + prefill_s + decode_s),
        "load_duration": 0,
        "prompt_eval_count": metrics.num_prompt_tokens,
        "prompt_eval_duration": _ns(prefill_s),
        "eval_count": metrics.num_generated_tokens,
        "eval_duration": _ns(decode_s),
    }


def _ns(seconds: float) -> int:
    return round(seconds * _NS)
