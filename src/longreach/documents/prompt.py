"""Documents first, question last: the messages of a conversation about documents.

What stands before the question never depends on it, so the engine reads it once. The small model
`needle` was trained on this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longreach.documents.types import SEPARATOR, Document
from longreach.errors import InvalidRequestError

SYSTEM_PROMPT = (
    "You answer questions about the text. Quote the sentences that the answer rests on, each with "
    'the anchor of its page, as in: "…" [page 12].'
)
"""What `documents.citations` verifies. The small model, trained on its first sentence, bears it."""
Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PageSpan:
    """Where a page's own text stands in `document_part(documents)`: [start, end).

    document: its index. page: the page's number.
    """

    document: int
    page: int
    start: int
    end: int


def document_part(documents: Sequence[Document]) -> str:
    """Everything that stands before the question: the documents in the order given."""
    return SEPARATOR.join(document.text for document in documents)


def page_spans(documents: Sequence[Document]) -> list[PageSpan]:
    """The place of every page in the document part, in its order."""
    spans, offset = [], 0
    for index, document in enumerate(documents):
        for page, (start, end) in zip(document.pages, document.spans, strict=True):
            begin, stop = offset + start, offset + end
            spans.append(PageSpan(document=index, page=page.number, start=begin, end=stop))
        offset += len(document.text) + len(SEPARATOR)
    return spans


def prompt_messages(
    documents: Sequence[Document],
    question: str,
    *,
    history: Sequence[Message] = (),
    system: str = SYSTEM_PROMPT,
) -> list[Message]:
    """Chat messages: the first user turn holds the documents and the first question.

    history: earlier turns, questions and answers in turn, as they were asked (without the
    documents). system: "" for none. Raises InvalidRequestError for a history that does not begin
    with a question.
    """
    turns = [*history, {"role": "user", "content": question}]
    first = turns[0]
    if first.get("role") != "user" or not isinstance(first.get("content"), str):
        raise InvalidRequestError("history", first, "turns that begin with a question as text")
    content = SEPARATOR.join([document_part(documents), first["content"]])
    opening = [{"role": "system", "content": system}] if system else []
    return [*opening, {**first, "content": content}, *turns[1:]]
