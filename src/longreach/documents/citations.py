"""Where an answer stands in the documents: its quotes verified, or its most telling words found.

A quote is *verified* when it stands, word for word (see `folding`), on a page that the answer names
for it. Where the answer names none: when it stands on exactly one page, or, for a quote of some
length, on the first of several. A misattributed quote is not verified, and points to where it
does stand. An answer none of whose quotes stands anywhere is *located*, which proves nothing: it
says where to look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from longreach.documents.folding import FoldedText, fold, fold_quote
from longreach.documents.locating import PageLook, locate
from longreach.documents.page_references import PageReference, find_references
from longreach.documents.quotes import Quote, find_quotes
from longreach.documents.types import Document, Page
from longreach.documents.words import split_words

LONG_QUOTE_WORDS = 5
"""From so many words on, a quote that stands on several pages is one, and no turn of phrase."""
_NAME_DISTANCE, _NAME_DISTANCE_AFTER = 120, 40


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A place in the documents that an answer rests on.

    kind: "quoted" by the answer, or "located" by its telling words. quote: the answer's words, or
    those found. document: index, page: number; both None for a quote that stands nowhere and for
    which no page is named. verified: see above; never of what was located. [start, end): in that
    page's text, empty where the quote does not stand there. named_page: what the answer says.
    num_pages: pages on which it stands: of those named, if on any of them, else of all. share: of
    the attention that fell on the page, if measured.
    """

    kind: Literal["quoted", "located"]
    quote: str
    document: int | None
    page: int | None
    verified: bool
    start: int = 0
    end: int = 0
    named_page: int | None = None
    num_pages: int = 0
    share: float | None = None


@dataclass(frozen=True)
class _Place:
    document: int
    page: Page
    start: int
    end: int


def cite(
    answer: str,
    documents: Sequence[Document],
    *,
    question: str = "",
    looked: Sequence[PageLook] = (),
) -> list[Citation]:
    """The citations of an answer: every quote in order; if none stands anywhere, what is located.

    question: its words are no news in the answer. looked: shares of the answer's attention.
    """
    verifier = _Verifier(answer, documents, looked)
    quoted = [verifier.check(quote) for quote in find_quotes(answer)]
    if any(citation.end for citation in quoted):
        return quoted
    return [
        *quoted,
        *(
            Citation(
                kind="located",
                quote=found.text,
                document=found.document,
                page=found.page,
                verified=False,
                start=found.start,
                end=found.end,
                num_pages=found.num_pages,
                share=verifier.share(found.document, found.page),
            )
            for found in locate(answer, documents, question=question, looked=looked)
        ),
    ]


class _Verifier:
    """Looks quotes of one answer up; pages are folded once each."""

    def __init__(
        self, answer: str, documents: Sequence[Document], looked: Sequence[PageLook]
    ) -> None:
        self._answer = answer
        self._documents = documents
        self._shares = {(look.document, look.page): look.share for look in looked}
        self._fold = cache(fold)
        self._references = find_references(answer)
        longest_first = sorted({document.name for document in documents}, key=len, reverse=True)
        self._any_name = re.compile("|".join(map(re.escape, longest_first)))

    def share(self, document: int, page: int) -> float | None:
        return self._shares.get((document, page))

    def check(self, quote: Quote) -> Citation:
        """The quote with the best place for it: on a named page, else wherever it stands."""
        folded = fold_quote(quote.text)
        named = [] if quote.reference is None else list(self._named(quote.reference))
        places = list(self._places(folded, named))
        is_verified = bool(places)
        if not places:
            places = list(self._places(folded, self._all))
            is_single = len(places) == 1 or (bool(places) and _is_long(folded))
            is_verified = quote.reference is None and is_single
        best = places[0] if places else _Place(*named[0], 0, 0) if named else None
        return Citation(
            kind="quoted",
            quote=quote.text,
            document=None if best is None else best.document,
            page=None if best is None else best.page.number,
            verified=is_verified,
            start=0 if best is None else best.start,
            end=0 if best is None else best.end,
            named_page=named[0][1].number if named else _first_number(quote.reference),
            num_pages=len(places),
            share=None if best is None else self.share(best.document, best.page.number),
        )

    def _places(self, folded_quote: str, pages: Iterable[tuple[int, Page]]) -> Iterator[_Place]:
        for index, page in pages:
            span = self._page(page).find(folded_quote)
            if span is not None:
                yield _Place(index, page, *span)

    @property
    def _all(self) -> Iterator[tuple[int, Page]]:
        for index, document in enumerate(self._documents):
            for page in document.pages:
                yield index, page

    def _page(self, page: Page) -> FoldedText:
        return self._fold(page.text)

    def _named(self, reference: PageReference) -> Iterator[tuple[int, Page]]:
        """Pages that a reference means: of the documents named beside it, else of any."""
        for index in self._beside(reference) or range(len(self._documents)):
            for page in reference.pages_of(self._documents[index]):
                yield index, page

    def _beside(self, reference: PageReference) -> list[int]:
        """Documents named near a reference: between its neighbours, else beyond them too."""
        low, high = max(reference.start - _NAME_DISTANCE, 0), reference.end + _NAME_DISTANCE_AFTER
        ends = [other.end for other in self._references if other.end <= reference.start]
        starts = [other.start for other in self._references if other.start >= reference.end]
        return self._names(max([low, *ends[-1:]]), min([high, *starts[:1]])) or self._names(
            low, high
        )

    def _names(self, low: int, high: int) -> list[int]:
        """Documents named in this stretch of the answer; a name inside a longer one is none."""
        found = set(self._any_name.findall(self._answer, low, high))
        return [index for index, document in enumerate(self._documents) if document.name in found]


def _is_long(folded_quote: str) -> bool:
    return len(split_words(folded_quote)) >= LONG_QUOTE_WORDS


def _first_number(reference: PageReference | None) -> int | None:
    """A page that is named and does not exist; a line is no page."""
    if reference is None or reference.unit != "page":
        return None
    return reference.numbers[0]
