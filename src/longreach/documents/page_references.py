"""Pages that an answer names: "page 12", "pp. 3-4", "[lines 81-160]", "S. 12", "第12页"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from longreach.documents.types import Document, Page

MAX_RANGE = 50
"""A wider range of pages names no page in particular: only its ends count."""

_NUMBERS = r"\d{1,6}(?:\s*(?:-|–|—|to|bis|and|und|,|&|和|~|〜|至|から)\s*\d{1,6})*"
_REFERENCE = re.compile(
    rf"""
      (?<!\w) (?:
          (?P<lines> lines? | ll? \. | zeilen? | [zZ] \. )
        | (?: pages? | pp? \. | pp? (?=\d) | pgs? \.? | seiten? | S \. ) )
      \s* (?P<numbers>{_NUMBERS}) (?!\w)
    | 第? \s* (?P<cjk>{_NUMBERS}) \s* (?: [页頁] | ページ | (?P<cjk_lines>行) )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_RANGE = re.compile(r"(\d+)\s*(?:-|–|—|to|bis|~|〜|至|から)\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class PageReference:
    """Pages, or lines of a file without pages, named at [start, end) of an answer."""

    unit: Literal["page", "line"]
    numbers: tuple[int, ...]
    start: int
    end: int

    def names(self, page: Page) -> bool:
        """Whether this page is meant."""
        if self.unit == "page":
            return page.number in self.numbers
        if page.first_line is None or page.last_line is None:
            return False
        return any(page.first_line <= number <= page.last_line for number in self.numbers)

    def pages_of(self, document: Document) -> tuple[Page, ...]:
        """The pages of a document that are meant."""
        return tuple(page for page in document.pages if self.names(page))


def find_references(answer: str) -> list[PageReference]:
    """Every reference of an answer, in order."""
    return [
        PageReference(
            unit="line" if match["lines"] or match["cjk_lines"] else "page",
            numbers=_numbers(match["numbers"] or match["cjk"]),
            start=match.start(),
            end=match.end(),
        )
        for match in _REFERENCE.finditer(answer)
    ]


def _numbers(text: str) -> tuple[int, ...]:
    found = [int(number) for number in re.findall(r"\d+", text)]
    for match in _RANGE.finditer(text):
        low, high = int(match[1]), int(match[2])
        if low < high <= low + MAX_RANGE:
            found += range(low + 1, high)
    return tuple(sorted(set(found)))
