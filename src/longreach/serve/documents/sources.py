"""Where an answer comes from: its quotes found on the pages, and the pages it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longreach.documents import Document


@dataclass(frozen=True, kw_only=True)
class Quoted:
    """A quote of the first answer that is verified. text: [start, end) of the page's text.

    index: of the document in the prompt.
    """

    index: int
    document: Document
    file_id: str | None
    page: int
    start: int
    end: int

    @property
    def text(self) -> str:
        """What stands there."""
        page = next(page for page in self.document.pages if page.number == self.page)
        return page.text[self.start : self.end]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What is told beside an answer, as clients read it.

    citations: of all choices. pages: where the answer looked; None where that was not asked for.
    quotes: those of the first answer that are verified, for families with a shape of their own.
    """

    citations: Sequence[dict[str, Any]]
    pages: Sequence[dict[str, Any]] | None = None
    quotes: Sequence[Quoted] = ()

    def as_fields(self) -> dict[str, Any]:
        """Fields of the `longreach` object."""
        pages = {} if self.pages is None else {"pages": self.pages}
        return {"citations": self.citations, **pages}
