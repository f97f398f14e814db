"""One streamed answer, with the time at which each piece of it came."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal, Self

from longreach.errors import LongreachError

Endpoint = Literal["chat", "completions"]
_DATA = "data: "
_DONE = "[DONE]"


@dataclass(frozen=True)
class Chunk:
    """A piece of an answer. at_s: when it came, by `time.perf_counter`. usage: at the end."""

    at_s: float
    text: str
    usage: dict[str, Any] | None = None


@dataclass(kw_only=True)
class RequestRecord:
    """How one request went. Times in seconds; times_s: when each piece of text came.

    error: why it failed, else "".
    """

    started_s: float
    times_s: list[float] = field(default_factory=list)
    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    error: str = ""

    @property
    def ttft_s(self) -> float:
        """To the first piece of text."""
        return self.times_s[0] - self.started_s

    @property
    def latency_s(self) -> float:
        """To the last one."""
        return self.times_s[-1] - self.started_s

    @property
    def itls_s(self) -> list[float]:
        """Between pieces."""
        return [after - before for before, after in pairwise(self.times_s)]

    @property
    def tpot_s(self) -> float | None:
        """Per token after the first; None for answers of one token."""
        if self.num_output_tokens < 2:
            return None
        return (self.latency_s - self.ttft_s) / (self.num_output_tokens - 1)


class StreamClient:
    """A server's chat or text completions. base_url: with or without /v1.

    ignore_eos: ask for answers of full length, in vLLM's spelling.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        endpoint: Endpoint = "chat",
        ignore_eos: bool = False,
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise LongreachError("bench serve needs `pip install 'longreach[chat]'`") from error
        self._client = openai.AsyncOpenAI(
            base_url=api_url(base_url), api_key=api_key or "none", max_retries=0, timeout=None
        )
        self.model = model
        self.endpoint = endpoint
        self._extra = {"ignore_eos": True} if ignore_eos else {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def stream(self, prompt: str, max_tokens: int) -> AsyncGenerator[Chunk, None]:
        """The pieces of an answer as they come. Raises LongreachError when it fails."""
        try:
            async with self._open(prompt, max_tokens) as response:
                async for chunk in _chunks(response.iter_lines()):
                    yield chunk
        except Exception as error:  # however it failed, the caller counts it as failed
            raise LongreachError(str(error) or type(error).__name__) from error

    async def record(self, prompt: str, max_tokens: int) -> RequestRecord:
        """Ask, and note what happens; a failure is noted too."""
        record = RequestRecord(started_s=time.perf_counter())
        try:
            async with aclosing(self.stream(prompt, max_tokens)) as chunks:
                async for chunk in chunks:
                    _note(record, chunk)
        except LongreachError as error:
            record.error = str(error)
        if not record.times_s:
            record.error = record.error or "the answer is empty"
        return record

    async def models(self) -> list[str]:
        """The names that the server lists. Raises LongreachError when it cannot be reached."""
        try:
            return [model.id async for model in self._client.models.list()]
        except Exception as error:
            raise LongreachError(f"{self._client.base_url}: {error}") from error

    def _open(self, prompt: str, max_tokens: int) -> Any:
        shared = {
            "model": self.model,
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "extra_body": self._extra,
        }
        if self.endpoint == "completions":
            resource: Any = self._client.completions
            return resource.with_streaming_response.create(prompt=prompt, **shared)
        resource = self._client.chat.completions
        messages = [{"role": "user", "content": prompt}]
        return resource.with_streaming_response.create(messages=messages, **shared)


def api_url(base_url: str) -> str:
    """The address of the API, however it was written."""
    return base_url.rstrip("/").removesuffix("/v1") + "/v1"


async def _chunks(lines: AsyncIterator[str]) -> AsyncIterator[Chunk]:
    """Server-sent events that hold text or the usage. The clock is read before the parsing."""
    async for line in lines:
        at_s = time.perf_counter()
        if not line.startswith(_DATA):
            continue
        if line[len(_DATA) :] == _DONE:
            return
        data = json.loads(line[len(_DATA) :])
        if "error" in data:
            raise LongreachError(str(data["error"].get("message", data["error"])))
        text, usage = _text_of(data), data.get("usage")
        if text or usage:
            yield Chunk(at_s, text, usage)


def _text_of(data: dict[str, Any]) -> str:
    if not data.get("choices"):
        return ""
    choice = data["choices"][0]
    delta = choice.get("delta") or {}
    return choice.get("text") or delta.get("content") or delta.get("reasoning_content") or ""


def _note(record: RequestRecord, chunk: Chunk) -> None:
    if chunk.text:
        record.times_s.append(chunk.at_s)
        record.num_output_tokens = max(record.num_output_tokens, len(record.times_s))
    if chunk.usage is not None:
        record.num_prompt_tokens = chunk.usage.get("prompt_tokens", 0)
        record.num_output_tokens = chunk.usage.get("completion_tokens", 0)
