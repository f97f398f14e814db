"""Events as text completions: one `text_completion`, or its chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from longreach.engine.protocol import PromptProgress
from longreach.serve.chat_format import progress_of
from longreach.serve.collect import Answer, Collected
from longreach.serve.events import Finished, Piece, TokenLogprobs
from longreach.serve.generations import Tagged
from longreach.serve.logprobs import CompletionLogprobs, HeldLogprobs, prompt_logprobs
from longreach.serve.usage import figures_of, usage_of
from longreach.text.tools import Content

if TYPE_CHECKING:
    from longreach.text import Tokenizer


@dataclass(frozen=True, kw_only=True)
class CompletionStyle:
    """What all chunks of a completion share, and what the client asked to be told.

    prompts: ids of each prompt; n: answers to each. echo: the prompt's text comes first. only_echo:
    nothing else does. tell_prompt: vLLM's prompt_logprobs are wanted.
    """

    id: str
    model: str
    fingerprint: str
    tokenizer: Tokenizer
    prompts: Sequence[Sequence[int]]
    texts: Sequence[str]
    n: int = 1
    num_logprobs: int | None = None
    echo: bool = False
    only_echo: bool = False
    tell_prompt: bool = False
    usage: bool = False
    progress: bool = False
    created: int = field(default_factory=lambda: int(time.time()))

    def head(self) -> dict[str, Any]:
        """The first fields of every object."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def writer(self) -> CompletionLogprobs | None:
        """Of the log-probabilities of one choice, if they were asked for."""
        if self.num_logprobs is None:
            return None
        return CompletionLogprobs(self.tokenizer, self.num_logprobs)

    def usage_of(self, finished: Sequence[Finished]) -> dict[str, Any]:
        """The usage, without the token that nobody asked for."""
        usage = usage_of(finished)
        if self.only_echo:
            usage |= {"completion_tokens": 0, "total_tokens": usage["prompt_tokens"]}
        return usage


# --- whole


def text_completion(style: CompletionStyle, collected: Sequence[Collected]) -> dict[str, Any]:
    """The answer of a request without `stream`."""
    finished = [each.finished for each in collected]
    return {
        **style.head(),
        "choices": [
            _choice(style, number, answer, each.finished)
            for number, each in enumerate(collected)
            for answer in each.answers
        ],
        "usage": style.usage_of(finished),
        **figures_of(finished),
    }


def _choice(
    style: CompletionStyle, number: int, answer: Answer, finished: Finished
) -> dict[str, Any]:
    prompt, text = style.texts[number] if style.echo else "", answer.content
    token_ids: list[int] = []
    entries: list[TokenLogprobs | None] = []
    if style.echo:
        token_ids += style.prompts[number]
        entries += finished.prompt_logprobs or ()
    if not style.only_echo:
        token_ids += answer.token_ids
        entries += answer.logprobs
    writer = style.writer()
    choice = {
        "index": number * style.n + answer.index,
        "text": prompt if style.only_echo else prompt + text,
        "logprobs": None if writer is None else writer.of(token_ids, entries),
        "finish_reason": "length" if style.only_echo else answer.finish_reason,
        "stop_reason": answer.stop_reason,
    }
    if style.tell_prompt and finished.prompt_logprobs is not None:
        choice["prompt_logprobs"] = prompt_logprobs(finished.prompt_logprobs)
    return choice


# --- in chunks


class CompletionChunks:
    """Turns events of all prompts into `text_completion` chunks."""

    def __init__(self, style: CompletionStyle) -> None:
        self._style = style
        self._writers: dict[int, CompletionLogprobs | None] = {}
        self._held = [HeldLogprobs() for _ in style.prompts]
        self._finished: dict[int, Finished] = {}
        self._last: dict[str, Any] | None = None

    def of(self, event: Tagged) -> Iterator[dict[str, Any]]:
        """The chunks of an event; none while its text is still held back."""
        number, what = event
        if isinstance(what, Piece):
            yield from self._piece(number, what)
        elif isinstance(what, Finished):
            self._finished[number] = what
            if len(self._finished) == len(self._style.prompts):
                yield from self._end()
        elif self._style.progress:
            yield self._progress(what)

    def _piece(self, number: int, piece: Piece) -> Iterator[dict[str, Any]]:
        style, index = self._style, number * self._style.n + piece.index
        if index not in self._writers:
            self._writers[index] = style.writer()
            if style.echo:
                yield self._chunk(index, style.texts[number])
        if style.only_echo:
            yield from self._hold(self._chunk(index, "", "length"))
            return
        self._held[number].add(piece)
        text = "".join(part.text for part in piece.parts if isinstance(part, Content))
        reason = piece.finish_reason
        if text or reason is not None:
            logprobs = self._logprobs(number, piece.index, index)
            chunk = self._chunk(index, text, reason, logprobs, piece.stop_reason)
            yield from [chunk] if reason is None else self._hold(chunk)

    def _hold(self, chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A choice's last chunk is kept until it is known whether it is the stream's last."""
        last, self._last = self._last, chunk
        if last is not None:
            yield last

    def _logprobs(self, number: int, answer: int, index: int) -> dict[str, Any] | None:
        held, writer = self._held[number].take(answer), self._writers[index]
        return None if held is None or writer is None else writer.of(*held)

    def _end(self) -> Iterator[dict[str, Any]]:
        finished = [self._finished[number] for number in sorted(self._finished)]
        last, figures = self._last or {}, figures_of(finished)
        if not self._style.usage:
            yield last | figures
            return
        yield last
        usage = self._style.usage_of(finished)
        yield {**self._style.head(), "choices": [], "usage": usage, **figures}

    def _chunk(
        self,
        index: int,
        text: str,
        reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
        stop: int | str | None = None,
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": reason,
            "stop_reason": stop,
        }
        return {**self._style.head(), "choices": [choice], **self._no_usage()}

    def _progress(self, progress: PromptProgress) -> dict[str, Any]:
        fields = {"choices": [], **self._no_usage(), "prompt_progress": progress_of(progress)}
        return {**self._style.head(), **fields}

    def _no_usage(self) -> dict[str, Any]:
        return {"usage": None} if self._style.usage else {}
