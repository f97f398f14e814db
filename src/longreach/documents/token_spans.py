"""Where the pages of documents stand among the tokens of a prompt, and how much each was looked at.

Given to the engine as `PromptRequest.attention_spans`, the spans come back as shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longreach.documents.locating import PageLook
from longreach.documents.prompt import document_part, page_spans
from longreach.documents.types import Document
from longreach.text import Tokenizer
from longreach.text.offsets import tokens_before


@dataclass(frozen=True, kw_only=True)
class PageTokens:
    """Tokens [start, end) of a prompt are a page's own text. document: index; page: number."""

    document: int
    page: int
    start: int
    end: int

    @property
    def span(self) -> tuple[int, int]:
        """Its tokens, as the engine takes them."""
        return self.start, self.end


def page_tokens(
    documents: Sequence[Document], prompt: str, token_ids: Sequence[int], tokenizer: Tokenizer
) -> list[PageTokens]:
    """The tokens of every page, ascending and disjoint; pages without a token are left out.

    prompt: the rendered chat that `token_ids` spell, with `document_part(documents)` in it, as
    `prompt_messages` puts it there. A template that changes its contents gives no page.
    """
    offset = prompt.find(document_part(documents))
    if offset < 0:
        return []
    spans = page_spans(documents)
    places = [offset + place for span in spans for place in (span.start, span.end)]
    counts = tokens_before(tokenizer, token_ids, prompt, places)
    pages = [
        PageTokens(document=span.document, page=span.page, start=start, end=end)
        for span, start, end in zip(spans, counts[::2], counts[1::2], strict=True)
    ]
    return [page for page in pages if page.start < page.end]


def page_looks(
    pages: Sequence[PageTokens], attention: Sequence[float] | None
) -> tuple[PageLook, ...]:
    """The share of each page, from what the engine says of its span; () where it says nothing."""
    if attention is None:
        return ()
    return tuple(
        PageLook(document=page.document, page=page.page, share=share)
        for page, share in zip(pages, attention, strict=True)
    )
