"""Finding where an answer comes from, once it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from longreach.documents.citations import Citation, cite
from longreach.documents.locating import PageLook
from longreach.serve.documents.library import Attachment
from longreach.serve.documents.sources import Quoted, Sources
from longreach.serve.events import Piece
from longreach.serve.prompt import PromptDocument, TokenSpan
from longreach.text.tools import Content

_DIGITS = 5
"""Of shares; pages with less than that are left out."""


@dataclass(frozen=True, kw_only=True)
class PromptPage:
    """A page in a prompt. document: its index. tokens: [start, end)."""

    document: int
    page: int
    tokens: TokenSpan


def pages_of(documents: Sequence[PromptDocument]) -> list[PromptPage]:
    """The pages that have tokens, in the prompt's order; none where a template mixed them up."""
    pages = [
        PromptPage(document=index, page=page.number, tokens=tokens)
        for index, each in enumerate(documents)
        for page, tokens in zip(each.attachment.document.pages, each.pages, strict=False)
        if tokens[0] < tokens[1]
    ]
    is_in_order = all(a.tokens[1] <= b.tokens[0] for a, b in pairwise(pages))
    return pages if is_in_order else []


class SourceFinder:
    """Reads along what is written, and says in the end where it comes from.

    question: the last one. looked_at: pages whose share of the attention will be known.
    """

    def __init__(
        self,
        documents: Sequence[PromptDocument],
        *,
        question: str = "",
        looked_at: Sequence[PromptPage] = (),
    ) -> None:
        self._attachments = [each.attachment for each in documents]
        self._question = question
        self._looked_at = looked_at
        self._texts: dict[int, list[str]] = {}

    def feed(self, piece: Piece) -> None:
        """More of an answer."""
        texts = self._texts.setdefault(piece.index, [])
        texts += [part.text for part in piece.parts if isinstance(part, Content)]

    async def find(self, attention: Sequence[float] | None) -> Sources:
        """The sources, in a thread: a book is searched for each quote.

        attention: the shares of the pages that were asked about.
        """
        return await asyncio.to_thread(self._find, attention)

    def _find(self, attention: Sequence[float] | None) -> Sources:
        looked = [
            PageLook(document=each.document, page=each.page, share=share)
            for each, share in zip(self._looked_at, attention or (), strict=False)
        ]
        cited = list(self._cited(looked))
        return Sources(
            citations=[{"index": index, **self._citation(found)} for index, found in cited],
            pages=None if attention is None else [*map(self._page, filter(_is_seen, looked))],
            quotes=[self._quoted(found) for index, found in cited if not index and found.verified],
        )

    def _cited(self, looked: Sequence[PageLook]) -> Iterator[tuple[int, Citation]]:
        """(the choice's index, what it cites)."""
        documents = [each.document for each in self._attachments]
        for index, texts in sorted(self._texts.items()):
            answer = "".join(texts)
            for found in cite(answer, documents, question=self._question, looked=looked):
                yield index, found

    def _quoted(self, found: Citation) -> Quoted:
        assert found.document is not None
        assert found.page is not None
        attachment = self._attachments[found.document]
        return Quoted(
            index=found.document,
            document=attachment.document,
            file_id=attachment.file_id,
            page=found.page,
            start=found.start,
            end=found.end,
        )

    def _citation(self, found: Citation) -> dict[str, Any]:
        return {
            "kind": found.kind,
            "quote": found.quote,
            **_named(None if found.document is None else self._attachments[found.document]),
            "document": found.document,
            "page": found.page,
            "verified": found.verified,
            "start": found.start,
            "end": found.end,
            "share": found.share,
        }

    def _page(self, look: PageLook) -> dict[str, Any]:
        return {
            **_named(self._attachments[look.document]),
            "document": look.document,
            "page": look.page,
            "share": round(look.share, _DIGITS),
        }


def _is_seen(look: PageLook) -> bool:
    return round(look.share, _DIGITS) > 0


def _named(attachment: Attachment | None) -> dict[str, Any]:
    if attachment is None:
        return {"file_id": None, "filename": None}
    return {"file_id": attachment.file_id, "filename": attachment.document.name}
