"""Files without pages: stretches of whole lines, each with the line numbers it stands on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from longreach.documents.types import Page

PART_CHARS = 2000
"""A stretch ends with the first line that brings it to this many characters."""
LONGEST_LINE = 2 * PART_CHARS
"""A line above this is cut (minified code, a book without line ends)."""


def cut_lines(text: str) -> tuple[Page, ...]:
    """The text as pages of whole lines; `join_lines` makes them the text again.

    Pieces of one long line are pages of their own with the same line number.
    """
    pages = []
    for number, (lines, first, last) in enumerate(_stretches(text.split("\n")), start=1):
        body = "\n".join(lines)
        pages.append(Page(number=number, text=body, first_line=first, last_line=last))
    return tuple(pages)


def join_lines(pages: Sequence[Page]) -> str:
    """The text that was cut."""
    parts: list[str] = []
    last = None
    for page in pages:
        parts += ["" if page.first_line == last or last is None else "\n", page.text]
        last = page.last_line
    return "".join(parts)


def _stretches(lines: list[str]) -> Iterator[tuple[list[str], int, int]]:
    """(lines, first line's number, last line's number) of each page."""
    held: list[str] = []
    size, first = 0, 1
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            if held:
                yield held, first, number - 1
            for piece in _pieces(line):
                yield [piece], number, number
            held, size, first = [], 0, number + 1
            continue
        held.append(line)
        size += len(line) + 1
        if size >= PART_CHARS:
            yield held, first, number
            held, size, first = [], 0, number + 1
    if held:
        yield held, first, len(lines)


def _pieces(line: str) -> Iterator[str]:
    """One long line in pieces that end where a sentence or a word does, if one does."""
    start = 0
    while len(line) - start > LONGEST_LINE:
        low, high = start + PART_CHARS, start + LONGEST_LINE
        end = max(line.rfind(". ", low, high) + 2, line.rfind(" ", low, high) + 1)
        yield line[start : (end := end if end > low else high)]
        start = end
    yield line[start:]
