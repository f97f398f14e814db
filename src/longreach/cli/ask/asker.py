"""One model asked about documents: a prompt is read, its answer is streamed and cited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longreach.cli.ask.answers import Reading
from longreach.cli.ask.prompts import DocumentPrompt, Message, document_prompt
from longreach.cli.ask.settings import AskSettings
from longreach.cli.chat.backend import Event, Piece
from longreach.cli.chat.local import event_of, reasoning_splitter, usage_of
from longreach.documents.excerpts import Excerpt
from longreach.documents.types import Document
from longreach.errors import DocumentsTooLongError

if TYPE_CHECKING:
    from longreach.engine.llm import LLM
    from longreach.engine.protocol import ProgressCallback, PromptRequest
    from longreach.text.reasoning import Part

MEASURED_TOKENS = 16_384
"""Fewer are read sooner than this machine's speed is measured."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Tokens of a prompt found in memory and on disk; seconds to read the rest, if measured."""

    in_memory: int
    on_disk: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Asker:
    """A loaded model, the documents, and how answers are drawn."""

    llm: LLM
    documents: tuple[Document, ...]
    settings: AskSettings

    def prompt(self, question: str, history: Sequence[Message] = ()) -> DocumentPrompt:
        """All documents, the conversation so far, the question."""
        return self.excerpt_prompt(self.whole, question, history)

    def excerpt_prompt(
        self, excerpt: Excerpt, question: str, history: Sequence[Message] = ()
    ) -> DocumentPrompt:
        """Some pages of the documents, the question."""
        return document_prompt(self.llm, excerpt, question, history)

    @property
    def whole(self) -> Excerpt:
        """All pages."""
        return Excerpt(documents=self.documents, indices=tuple(range(len(self.documents))))

    def fits(self, prompt: DocumentPrompt) -> bool:
        """Whether the context holds the prompt and the longest answer that is wanted."""
        return len(prompt.token_ids) + self.settings.max_tokens <= self.llm.max_model_len

    def too_long(self, prompt: DocumentPrompt, advice: str) -> DocumentsTooLongError:
        """The error that says so, with the numbers."""
        length, limit = len(prompt.token_ids), self.llm.max_model_len
        return DocumentsTooLongError(length, self.settings.max_tokens, limit, advice)

    def forecast(self, prompt: DocumentPrompt) -> Forecast:
        """What reading it would take now. Seconds only where there is much to read."""
        from longreach.engine.estimator import Estimator

        estimator, wanted = Estimator(self.llm.engine), self.settings.max_tokens
        in_memory, on_disk = estimator.num_cached(prompt.token_ids, wanted, "")
        seconds: float | None = None
        if len(prompt.token_ids) - in_memory - on_disk >= MEASURED_TOKENS:
            estimate = estimator.estimate(prompt.token_ids, max_tokens=wanted, cache_salt="")
            seconds = estimate.seconds
        return Forecast(in_memory=in_memory, on_disk=on_disk, seconds=seconds)

    def read(
        self,
        prompt: DocumentPrompt,
        *,
        show: Callable[[Event], object],
        progress: ProgressCallback | None,
    ) -> Reading:
        """Read the prompt and answer it. show: gets what the model says, as it comes.

        Raises the request's error, KeyboardInterrupt when it is stopped.
        """
        splitter = reasoning_splitter(self.llm, prompt.token_ids)
        pieces: list[str] = []

        def say(parts: Iterable[Part]) -> None:
            for event in map(event_of, parts):
                if isinstance(event, Piece):
                    pieces.append(event.text)
                show(event)

        for last in self.llm.generate_requests([self._request(prompt)], progress=progress):
            if last.error is not None:
                raise last.error
            say(splitter.feed(last.outputs[0].text))
        say(splitter.finish())
        show(usage_of(last))
        return Reading(prompt=prompt, text="".join(pieces), last=last)

    def _request(self, prompt: DocumentPrompt) -> PromptRequest:
        from longreach.engine.protocol import PrefixPin, PromptRequest

        pins: tuple[PrefixPin, ...] = ()
        if self.settings.pins and prompt.num_prefix_tokens:
            label = ", ".join(document.name for document in self.documents)
            pin = PrefixPin(
                num_tokens=prompt.num_prefix_tokens, ttl_s=self.settings.pin_s, label=label
            )
            pins = (pin,)
        return PromptRequest(
            prompt_token_ids=prompt.token_ids,
            params=self.settings.params,
            attention_spans=tuple(page.span for page in prompt.pages),
            pins=pins,
        )
