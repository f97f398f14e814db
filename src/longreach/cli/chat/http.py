"""A model behind any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from longreach.cli.chat.backend import Event, Message, Piece, Thought, Usage
from longreach.errors import LongreachError

if TYPE_CHECKING:
    from openai import Stream
    from openai.types.chat import ChatCompletionChunk

    from longreach.engine.protocol import ProgressCallback

CONNECT_TIMEOUT_S = 10.0
"""There is no other: reading a million tokens takes a server as long as it takes."""
_STANDARD = {"temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "seed"}
_CONTEXT_KEYS = ("max_model_len", "context_length", "n_ctx", "n_ctx_train")


class HttpBackend:
    """A server as a conversation sees it. model None: the first one that the server lists.

    Raises LongreachError when the server cannot be reached or lists no model.
    """

    is_local = False

    def __init__(self, base_url: str, *, api_key: str | None, model: str | None = None) -> None:
        try:
            import openai
        except ImportError as error:
            raise LongreachError("--base-url needs `pip install 'longreach[chat]'`") from error
        self._url = base_url
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            timeout=openai.Timeout(None, connect=CONNECT_TIMEOUT_S),
        )
        self._tells_progress = True  # until the server refuses to
        listed = self._list_models(may_fail=model is not None)
        self.name = model or next(iter(listed), "")
        if not self.name:
            raise LongreachError(f"{base_url} lists no model: name one with --model")
        self.max_context = _context(listed.get(self.name, {}))

    def answer(
        self,
        messages: Sequence[Message],
        settings: Mapping[str, int | float],
        progress: ProgressCallback | None,
    ) -> Iterator[Event]:
        """See `Backend`. Leaving closes the connection, which stops the server's work."""
        reply = _Reply(progress)
        with self._errors(), self._open(messages, settings) as stream:
            for chunk in stream:
                yield from reply.read(chunk)
        yield reply.usage()

    def _open(
        self, messages: Sequence[Message], settings: Mapping[str, Any]
    ) -> Stream[ChatCompletionChunk]:
        """Send the request; once more without `return_progress` where that is refused."""
        import openai

        standard = {key: value for key, value in settings.items() if key in _STANDARD}
        extra = {key: value for key, value in settings.items() if key not in _STANDARD}
        while True:
            asked = {"return_progress": True} if self._tells_progress else {}
            try:
                return self._client.chat.completions.create(  # type: ignore[call-overload]
                    model=self.name,
                    messages=list(messages),
                    stream=True,
                    stream_options={"include_usage": True},
                    extra_body=extra | asked,
                    **standard,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not self._tells_progress or "return_progress" not in str(error):
                    raise
                self._tells_progress = False

    def _list_models(self, *, may_fail: bool) -> dict[str, Mapping[str, Any]]:
        """Model id -> what the server says of it. may_fail: some servers have no such list."""
        import openai

        with self._errors():
            try:
                return {model.id: model.to_dict() for model in self._client.models.list()}
            except openai.APIStatusError:
                if not may_fail:
                    raise
                return {}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """The client's errors as one line each."""
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise LongreachError(
                f"{self._url} answered {error.status_code}: {_message(error)}"
            ) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            raise LongreachError(f"no connection to {self._url}: {cause}") from error
        except openai.OpenAIError as error:
            raise LongreachError(f"{self._url}: {error}") from error
        except _transport_errors() as error:
            raise LongreachError(f"no connection to {self._url}: {error}") from error


class _Reply:
    """What one stream of chunks has said so far."""

    def __init__(self, progress: ProgressCallback | None) -> None:
        self._progress = progress
        self._usage: Any = None
        self._is_cut = False
        self._first_s: float | None = None
        self._last_s = 0.0

    def read(self, chunk: ChatCompletionChunk) -> Iterator[Event]:
        """The events of a chunk."""
        reading = (chunk.model_extra or {}).get("prompt_progress")
        if reading and self._progress is not None:
            eta_ms = reading.get("eta_ms")
            self._progress(
                reading["processed"],
                reading["total"],
                reading.get("cache", 0),
                None if eta_ms is None else eta_ms / 1000,
            )
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            self._is_cut = self._is_cut or choice.finish_reason == "length"
            yield from self._delta(choice.delta)

    def _delta(self, delta: Any) -> Iterator[Event]:
        extra = delta.model_extra or {}
        thought = extra.get("reasoning_content") or extra.get("reasoning")
        if thought or delta.content:
            self._last_s = time.perf_counter()
            self._first_s = self._first_s or self._last_s
        if thought:
            yield Thought(thought)
        if delta.content:
            yield Piece(delta.content)

    def usage(self) -> Usage:
        """What the answer took; the rate is measured here, at this end of the line."""
        if self._usage is None:
            return Usage(is_cut=self._is_cut)
        count = self._usage.completion_tokens
        seconds = self._last_s - (self._first_s or self._last_s)
        details = self._usage.prompt_tokens_details
        return Usage(
            num_prompt_tokens=self._usage.prompt_tokens,
            num_cached_tokens=details.cached_tokens if details else None,
            num_answer_tokens=count,
            tokens_per_s=(count - 1) / seconds if count > 1 and seconds > 0 else None,
            is_cut=self._is_cut,
        )


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the client lets through when a line breaks in the middle of a stream.

    It is its HTTP package's own error, and which package that is depends on the client's version.
    """
    packages = (sys.modules.get(name) for name in ("httpx", "httpx2"))
    return tuple(package.HTTPError for package in packages if package is not None)


def _context(entry: Mapping[str, Any]) -> int | None:
    """The context of a listed model, as vLLM, routers and llama.cpp write it."""
    places = [entry, entry.get("meta") or {}]
    found = (place[key] for place in places for key in _CONTEXT_KEYS if key in place)
    return next((int(value) for value in found if value), None)


def _message(error: Any) -> str:
    body = error.body
    if isinstance(body, Mapping) and isinstance(body.get("message"), str):
        return str(body["message"])
    return str(error.message)
