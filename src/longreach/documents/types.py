"""A document: pages of text, and the one text that a prompt holds, with an anchor per page.

The text depends on the file's name and content alone, never on a time, a folder or a machine: the
same file is the same tokens, so its prefix is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

SEPARATOR = "\n\n"


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page, or one stretch of lines of a file that has no pages.

    number: from 1, in the order of reading. first_line, last_line: line numbers of the file (from
    1), or None where the pages are real ones.
    """

    number: int
    text: str
    first_line: int | None = None
    last_line: int | None = None

    @property
    def label(self) -> str:
        """What people and models call it: "page 12", or "lines 81-160"."""
        if self.first_line is None:
            return f"page {self.number}"
        if self.first_line == self.last_line:
            return f"line {self.first_line}"
        return f"lines {self.first_line}-{self.last_line}"

    @property
    def anchor(self) -> str:
        """What stands above its text: "[page 12]"."""
        return f"[{self.label}]"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """One entry of a document's own outline. page: number from 1; level: 0 is the top."""

    title: str
    page: int
    level: int


@dataclass(frozen=True, kw_only=True)
class Document:
    """What was read of one file.

    name: of the file, safe to show and to put into a prompt. kind: "pdf", "docx", "pptx", "xlsx",
    "html", "epub", "csv", "code" or "text". sha256: of the file's bytes, in hexadecimal.
    """

    name: str
    kind: str
    sha256: str
    pages: tuple[Page, ...]
    outline: tuple[Heading, ...] = ()

    @cached_property
    def text(self) -> str:
        """The document as a prompt holds it: its name, then every page below its anchor."""
        return SEPARATOR.join([self.header, *(f"{p.anchor}\n{p.text}" for p in self.pages)])

    @property
    def header(self) -> str:
        """The first line of the text."""
        return f"Document: {self.name}"

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where each page's own text, without its anchor, stands in `text`: [start, end)."""
        spans, at = [], len(self.header)
        for page in self.pages:
            start = at + len(SEPARATOR) + len(page.anchor) + 1
            at = start + len(page.text)
            spans.append((start, at))
        return tuple(spans)

    @property
    def pages_without_text(self) -> tuple[int, ...]:
        """Numbers of pages that hold no text: blank, or a picture (a scan)."""
        return tuple(page.number for page in self.pages if not page.text)


def page_ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in words: "1-3, 7"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
