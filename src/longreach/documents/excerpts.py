"""Some pages of documents as documents of their own, so that a prompt can hold them.

Pages keep their numbers and documents their names: what an answer says of an excerpt is true of the
whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from longreach.documents.types import SEPARATOR, Document, Page

CountTokens = Callable[[str], int]
Place = tuple[int, Page]
"""A page, and the index of its document."""
EDGE_TOKENS = 2
"""Tokens that a page may cost beside its own, because pieces are tokenised apart."""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Documents with some of their pages. indices: of each one in what it was taken from."""

    documents: tuple[Document, ...]
    indices: tuple[int, ...]

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """(document's index, page's number) of every page, in order."""
        pairs = zip(self.indices, self.documents, strict=True)
        return tuple((index, page.number) for index, document in pairs for page in document.pages)


def excerpt(documents: Sequence[Document], places: Iterable[Place]) -> Excerpt:
    """The documents with these pages alone. places: in order of reading."""
    grouped = [(index, tuple(p for _, p in group)) for index, group in groupby(places, _document)]
    return Excerpt(
        documents=tuple(replace(documents[index], pages=pages) for index, pages in grouped),
        indices=tuple(index for index, _ in grouped),
    )


def page_cost(page: Page, count: CountTokens) -> int:
    """Tokens of a page with its anchor, at most."""
    return count(f"{page.anchor}\n{page.text}{SEPARATOR}") + EDGE_TOKENS


def header_cost(document: Document, count: CountTokens) -> int:
    """Tokens of a document before its first page, at most."""
    return count(f"{document.header}{SEPARATOR}") + EDGE_TOKENS


def _document(place: Place) -> int:
    return place[0]
