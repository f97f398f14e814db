"""Reasoning out of a model's text as it comes: `<think>...</think>` before the answer, as Qwen3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from longreach.text.cursor import Cursor, Reading

OPEN_THINK, CLOSE_THINK = "<think>", "</think>"

_SPACE = re.compile(r"\s*")
_NEWLINES = re.compile(r"[\r\n]*")
_NO_TAG = re.compile(r"[^<\r\n]*")
_ANYTHING = re.compile(r".*", re.DOTALL)


@dataclass(frozen=True)
class ReasoningText:
    """What the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class AnswerText:
    """What the model answers; there may be tool calls in it."""

    text: str


Part: TypeAlias = ReasoningText | AnswerText


class ReasoningSplitter:
    """Takes an output in pieces and says which text is reasoning; any cut gives the same.

    Reasoning stands at the beginning, between the tags, and ends with the text if it is not closed.
    Newlines at its edges and in front of the answer belong to neither. An output that begins
    otherwise is all answer. is_open: the prompt has opened the tag (see `opens_reasoning`).
    """

    def __init__(self, *, is_open: bool = False) -> None:
        self._is_open = is_open
        self._cursor = Cursor()
        self._newlines = ""  # part of the reasoning if more of it follows
        self._parts: list[Part] = []
        self._parser = self._split()

    def feed(self, text: str) -> list[Part]:
        """What is new and final after this piece. Held back: what may become a tag or an edge."""
        self._cursor.add(text)
        return self._advance()

    def finish(self) -> list[Part]:
        """The rest, once no more text comes."""
        self._cursor.end()
        return self._advance()

    def _advance(self) -> list[Part]:
        next(self._parser, None)
        parts, self._parts = self._parts, []
        return parts

    def _split(self) -> Reading[None]:
        cursor = self._cursor
        if (yield from self._opens()):
            yield from cursor.run(_NEWLINES, _drop)
            yield from self._reasoning()
            yield from cursor.run(_NEWLINES, _drop)
        yield from cursor.run(_ANYTHING, lambda text: self._parts.append(AnswerText(text)))

    def _opens(self) -> Reading[bool]:
        """Read the opening tag, which a model may repeat after a prompt that has one."""
        self._cursor.mark()
        yield from self._cursor.run(_SPACE, _drop)
        found = yield from self._cursor.accept(OPEN_THINK)
        if found:
            self._cursor.release()
        else:
            self._cursor.rewind()
        return found or self._is_open

    def _reasoning(self) -> Reading[None]:
        """Read up to the closing tag and past it."""
        cursor = self._cursor
        while (yield from cursor.peek()):
            yield from cursor.run(_NO_TAG, self._think)
            yield from cursor.run(_NEWLINES, self._keep_newlines)
            if (yield from cursor.accept(CLOSE_THINK)):
                return
            if (yield from cursor.peek()) == "<":
                self._think((yield from cursor.take()))

    def _think(self, text: str) -> None:
        self._parts.append(ReasoningText(self._newlines + text))
        self._newlines = ""

    def _keep_newlines(self, text: str) -> None:
        self._newlines += text


def opens_reasoning(prompt: str) -> bool:
    """Whether a rendered prompt ends in an open `<think>`, as templates of thinking models do."""
    return prompt.rstrip().endswith(OPEN_THINK)


def _drop(text: str) -> None:
    """Read past it."""
