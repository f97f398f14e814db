"""The quotes of an answer, each with the pages that the answer names for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from longreach.documents.page_references import PageReference, find_references

MAX_DISTANCE = 400
"""Characters of answer between a quote and the page named for it, at most."""

# Same marks open and close in different languages; the leftmost mark decides which pair it is.
_PAIRS = ("“”", "„“”", "«»", "»«", "「」", "『』", '""')
_INLINE = "|".join(
    rf"{pair[0]}(?P<p{i}>(?:(?!\n\s*\n)[^{pair}])+)[{pair[1:]}]" for i, pair in enumerate(_PAIRS)
)
_BLOCK = r"(?P<block>(?:^[ ]{0,3}>[^\n]*(?:\n|\Z))+)"
_QUOTE = re.compile(f"{_BLOCK}|{_INLINE}", re.MULTILINE)
_MARGIN = re.compile(r"^ {0,3}> ?", re.MULTILINE)
_ELLIPSIS = re.compile(r"\s*(?:\[\s*(?:\.\.\.|…)\s*\]|\(\s*(?:\.\.\.|…)\s*\)|\.{3,}|…+)\s*")
_ATTACHED = re.compile(r"[\s.,;:!?]*[\[(—–-][\s\[(—–-]*(?:\w{1,6}\.?\s+)?|\s+(?:on|at|auf)\s+")
_TELLING = re.compile(r"\w\S*\s+\S*\w|\d|[\u3040-\u9fff\uf900-\ufaff]{4}")


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What an answer quotes, at [start, end) of it. reference: the pages it names, if it does."""

    text: str
    start: int
    end: int
    reference: PageReference | None = None


def find_quotes(answer: str) -> list[Quote]:
    """Quotes in order: inside quotation marks, or block quotes of Markdown.

    A single word in quotation marks is a term, not a quote, unless it has a digit. What stands on
    the two sides of an ellipsis are two quotes.
    """
    found = [(match.start(), match.end(), _text(match)) for match in _QUOTE.finditer(answer)]
    outside = [r for r in find_references(answer) if not _is_inside(r, found)]
    quotes = [
        Quote(text=part, start=start, end=end)
        for start, end, text in found
        for part in _ELLIPSIS.split(text)
        if _TELLING.search(part)
    ]
    names_before = bool(quotes and outside and outside[0].end <= quotes[0].start)
    return [_with_reference(quote, answer, outside, names_before) for quote in quotes]


def _text(match: re.Match[str]) -> str:
    if match["block"] is not None:
        return _MARGIN.sub("", match["block"]).strip().strip('“”"„«»「」')
    return next(text for name, text in match.groupdict().items() if text is not None)


def _is_inside(reference: PageReference, quotes: Sequence[tuple[int, int, str]]) -> bool:
    return any(start <= reference.start < end for start, end, _ in quotes)


def _with_reference(
    quote: Quote, answer: str, references: Sequence[PageReference], names_before: bool
) -> Quote:
    """The quote with its page: in brackets or after a dash right behind it, else where the answer
    names its pages, which is before its quotes or after them throughout.
    """
    before = [r for r in references if 0 <= quote.start - r.end <= MAX_DISTANCE]
    after = [r for r in references if 0 <= r.start - quote.end <= MAX_DISTANCE]
    is_attached = bool(after) and _ATTACHED.fullmatch(answer, quote.end, after[0].start)
    nearest = before[-1:] or after[:1]
    if after and (is_attached or not names_before):
        nearest = after[:1]
    return replace(quote, reference=nearest[0] if nearest else None)
