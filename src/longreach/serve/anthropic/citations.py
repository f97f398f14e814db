"""Quotes found in documents, as Anthropic's citations of a text block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from longreach.documents import Document
from longreach.serve.documents.sources import Quoted


def citations_of(quotes: Sequence[Quoted]) -> Iterator[dict[str, Any]]:
    """Those that stand where they are said to: by page where there are pages, else by character."""
    for quote in quotes:
        yield {**_location(quote), **_named(quote), "cited_text": quote.text}


def _named(quote: Quoted) -> dict[str, Any]:
    return {
        "document_index": quote.index,
        "document_title": quote.document.name,
        "file_id": quote.file_id,
    }


def _location(quote: Quoted) -> dict[str, Any]:
    pages = quote.document.pages
    at = next(index for index, page in enumerate(pages) if page.number == quote.page)
    if pages[at].first_line is None:
        return {
            "type": "page_location",
            "start_page_number": quote.page,
            "end_page_number": quote.page + 1,
        }
    begin = _start_of(quote.document, at)
    return {
        "type": "char_location",
        "start_char_index": begin + quote.start,
        "end_char_index": begin + quote.end,
    }


def _start_of(document: Document, at: int) -> int:
    """Where a stretch of lines begins in the file's text: stretches of one line follow at once."""
    pages = document.pages[: at + 1]
    start = 0
    for page, following in pairwise(pages):
        start += len(page.text) + (page.last_line != following.first_line)
    return start
