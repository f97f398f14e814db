"""A text that is read while it still comes in: parsers written straight, in pieces of any size.

A parser is a generator over a `Cursor`. Where the text that has come is not enough to go on, it
yields, and is resumed when there is more. Nothing it reads depends on where the pieces were cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Reading: TypeAlias = Generator[None, None, T]
"""A step of a parser: it yields to wait for more text, and returns what it read."""


class Cursor:
    """A place in a text that grows at its end, until `end` says that it is complete.

    What lies before the place is forgotten, but for what comes after a mark: the parser can still
    go back there.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._mark: int | None = None
        self._is_complete = False

    def add(self, text: str) -> None:
        """More text has come."""
        keep = self._at if self._mark is None else self._mark
        self._text = self._text[keep:] + text
        self._at -= keep
        if self._mark is not None:
            self._mark = 0

    def end(self) -> None:
        """No more text comes."""
        self._is_complete = True

    def mark(self) -> None:
        """Keep the text from here on, for `rewind`."""
        self._mark = self._at

    def release(self) -> None:
        """Forget the mark: there is no way back."""
        self._mark = None

    def rewind(self) -> None:
        """Go back to the mark and forget it."""
        assert self._mark is not None
        self._at, self._mark = self._mark, None

    def peek(self) -> Reading[str]:
        """The next character, "" at the end of the text."""
        while self._must_wait(1):
            yield
        return self._text[self._at : self._at + 1]

    def take(self) -> Reading[str]:
        """Read the next character, "" at the end of the text."""
        char = yield from self.peek()
        self._at += len(char)
        return char

    def accept(self, literal: str) -> Reading[bool]:
        """Read `literal` if it comes next; otherwise read nothing. Waits no longer than it must."""
        while self._must_wait(len(literal)) and literal.startswith(self._text[self._at :]):
            yield
        found = self._text.startswith(literal, self._at)
        if found:
            self._at += len(literal)
        return found

    def run(self, chars: re.Pattern[str], sink: Callable[[str], object]) -> Reading[None]:
        """Read as long as characters match, handing them to `sink` as they come.

        chars: a pattern that may match nothing and looks at one character at a time: "[a-z]*".
        """
        while True:
            match = chars.match(self._text, self._at)
            assert match is not None
            if match.group():
                self._at = match.end()
                sink(match.group())
            if self._is_complete or self._at < len(self._text):
                return
            yield

    def _must_wait(self, num_chars: int) -> bool:
        return not self._is_complete and len(self._text) - self._at < num_chars
