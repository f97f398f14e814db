"""What was answered, where it stands, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longreach.cli.ask.settings import OverLength
from longreach.documents.citations import Citation, cite
from longreach.documents.locating import PageLook
from longreach.documents.token_spans import page_looks
from longreach.documents.types import Document, Page

if TYPE_CHECKING:
    from longreach.cli.ask.prompts import DocumentPrompt
    from longreach.engine.outputs import RequestOutput

TOP_LOOKS = 5


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One prompt that was read and answered."""

    prompt: DocumentPrompt
    text: str
    last: RequestOutput

    @property
    def looks(self) -> tuple[PageLook, ...]:
        """Where the answer looked, if that was measured."""
        return page_looks(self.prompt.pages, self.last.attention)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer to one question.

    readings: one, or those of map-reduce: the parts, then their joining. over_length: how documents
    beyond the window were read. num_pages_read: of how many pages there are, for a search.
    """

    question: str
    documents: tuple[Document, ...]
    readings: tuple[Reading, ...]
    citations: tuple[Citation, ...]
    over_length: OverLength | None = None
    num_pages_read: int | None = None

    @property
    def text(self) -> str:
        """What the last reading said."""
        return self.readings[-1].text.strip()

    @property
    def looks(self) -> tuple[PageLook, ...]:
        """Where the answer itself looked; a joining has no documents to look at."""
        return self.readings[-1].looks

    @property
    def num_prompt_tokens(self) -> int:
        """Of all readings together."""
        return sum(len(reading.prompt.token_ids) for reading in self.readings)

    @property
    def num_cached_tokens(self) -> int:
        """Of these, found in memory or on disk."""
        return sum(reading.last.metrics.num_cached_tokens for reading in self.readings)

    @property
    def ttft_s(self) -> float | None:
        """Seconds to the first token of the answer, all readings before it included."""
        *before, final = (reading.last.metrics for reading in self.readings)
        if final.ttft_s is None:
            return None
        return final.ttft_s + sum((m.ttft_s or 0.0) + (m.decode_s or 0.0) for m in before)


def answer_of(
    question: str,
    documents: Sequence[Document],
    readings: Sequence[Reading],
    **how: Any,
) -> Answer:
    """The answer with its citations, looked up in the whole documents."""
    final = readings[-1]
    citations = cite(final.text, documents, question=question, looked=final.looks)
    return Answer(
        question=question,
        documents=tuple(documents),
        readings=tuple(readings),
        citations=tuple(citations),
        **how,
    )


def page_of(documents: Sequence[Document], document: int, number: int) -> Page:
    """The page with this number."""
    return next(page for page in documents[document].pages if page.number == number)


def as_data(answer: Answer, *, model: str, timings: dict[str, float]) -> dict[str, Any]:
    """The answer as plain data. timings: seconds by name, of what came before the question."""
    final = answer.readings[-1].last
    metrics = [reading.last.metrics for reading in answer.readings]
    return {
        "question": answer.question,
        "answer": answer.text,
        "finish_reason": final.outputs[0].finish_reason,
        "model": model,
        "documents": [_document(answer, index) for index in range(len(answer.documents))],
        "over_length": answer.over_length,
        "pages_read": answer.num_pages_read,
        "prompt_tokens": answer.num_prompt_tokens,
        "cached_tokens": answer.num_cached_tokens,
        "answer_tokens": final.metrics.num_generated_tokens,
        "citations": [_citation(answer, citation) for citation in answer.citations],
        "looked_at": [_look(answer, look) for look in top_looks(answer.looks)],
        "recall": {
            "mean": min(m.recall_mean for m in metrics),
            "min": min(m.recall_min for m in metrics),
        },
        "timings": {**timings, "ttft_s": answer.ttft_s, "decode_s": final.metrics.decode_s},
    }


def top_looks(looks: Sequence[PageLook]) -> list[PageLook]:
    """The pages with the largest shares."""
    return sorted(looks, key=lambda look: -look.share)[:TOP_LOOKS]


def _document(answer: Answer, index: int) -> dict[str, Any]:
    document = answer.documents[index]
    read = [p for r in answer.readings for p in r.prompt.pages if p.document == index]
    return {
        "name": document.name,
        "kind": document.kind,
        "sha256": document.sha256,
        "pages": len(document.pages),
        "tokens": sum(page.end - page.start for page in read),
    }


def _citation(answer: Answer, citation: Citation) -> dict[str, Any]:
    has_place = citation.document is not None and citation.page is not None
    place = (citation.document or 0, citation.page or 0)
    return {
        "kind": citation.kind,
        "quote": citation.quote,
        "document": answer.documents[place[0]].name if has_place else None,
        "page": citation.page,
        "label": page_of(answer.documents, *place).label if has_place else None,
        "verified": citation.verified,
        "start": citation.start,
        "end": citation.end,
        "named_page": citation.named_page,
        "num_pages": citation.num_pages,
        "share": citation.share,
    }


def _look(answer: Answer, look: PageLook) -> dict[str, Any]:
    return {
        "document": answer.documents[look.document].name,
        "page": look.page,
        "share": look.share,
    }
