"""One answer's text, taken apart as it comes: reasoning, content, tool calls."""

from __future__ import annotations

from collections.abc import Iterable

from longreach.serve.events import Part, Reasoning
from longreach.text.reasoning import AnswerText, ReasoningSplitter, ReasoningText
from longreach.text.tools import CallEnded, CallStarted, Content, ToolCallScanner
from longreach.text.tools.events import ArgumentsDelta
from longreach.text.tools.scanner import CLOSE_TAG


class AnswerReader:
    """Turns text into parts; however it is cut, their joined texts are the same.

    reasoning: text between think tags is `Reasoning`; is_open: the prompt has opened the tag.
    tools: calls are looked for. calls_only: and nothing else is expected, so what was cut off
    before it became a call is no content. single_call: only the first counts, and the answer is
    expected to stop at its closing tag; includes_stop: which is then part of the text.
    """

    def __init__(
        self,
        *,
        reasoning: bool = False,
        is_open: bool = False,
        tools: bool = False,
        calls_only: bool = False,
        single_call: bool = False,
        includes_stop: bool = False,
    ) -> None:
        self._splitter = ReasoningSplitter(is_open=is_open) if reasoning else None
        self._scanner = ToolCallScanner() if tools else None
        self._calls_only = calls_only
        self._single_call = single_call
        self._lacks_stop = single_call and not includes_stop
        self._has_reasoned = False
        self._has_answered = False
        self._tokens_before_answer = 0

    @property
    def has_calls(self) -> bool:
        """Whether a tool call has begun."""
        return self._scanner is not None and self._scanner.num_calls > 0

    @property
    def reasoning_tokens(self) -> int:
        """Tokens drawn before the answer began, if the model reasoned."""
        return self._tokens_before_answer if self._has_reasoned else 0

    def feed(self, text: str, num_tokens: int) -> list[Part]:
        """What is new; num_tokens: how many tokens were drawn for it."""
        parts = self._split(text)
        if not self._has_answered:
            self._tokens_before_answer += num_tokens
        return parts

    def finish(self, stop_reason: int | str | None = None, *, is_cut: bool = False) -> list[Part]:
        """The rest, now that the answer has ended, at this stop string if it did.

        is_cut: by its number of tokens.
        """
        parts: list[Part] = []
        if self._lacks_stop and stop_reason == CLOSE_TAG:
            parts += self._split(CLOSE_TAG)
        if self._splitter is not None:
            parts += self._sort(self._splitter.finish())
        if self._scanner is not None:
            parts += self._visible(self._scanner.finish(is_cut=is_cut))
        return parts

    def visible_stop(self, stop_reason: int | str | None) -> int | str | None:
        """The stop as the client may see it: the one that we put in is none."""
        return None if self._single_call and stop_reason == CLOSE_TAG else stop_reason

    def _split(self, text: str) -> list[Part]:
        if self._splitter is None:
            return self._scan(text)
        return self._sort(self._splitter.feed(text))

    def _sort(self, split: Iterable[ReasoningText | AnswerText]) -> list[Part]:
        parts: list[Part] = []
        for part in split:
            if isinstance(part, ReasoningText):
                self._has_reasoned = True
                parts.append(Reasoning(part.text))
            else:
                parts += self._scan(part.text)
        return parts

    def _scan(self, text: str) -> list[Part]:
        if not text:
            return []
        self._has_answered = True
        if self._scanner is None:
            return [Content(text)]
        return self._visible(self._scanner.feed(text))

    def _visible(self, events: Iterable[Part]) -> list[Part]:
        return [event for event in events if self._is_visible(event)]

    def _is_visible(self, part: Part) -> bool:
        if isinstance(part, CallStarted | ArgumentsDelta | CallEnded):
            return part.index == 0 or not self._single_call
        return not self._calls_only
