"""Prompts about documents, and whether they fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from longreach.documents.excerpts import Excerpt
from longreach.documents.prompt import prompt_messages
from longreach.documents.token_spans import PageTokens, page_tokens

if TYPE_CHECKING:
    from longreach.engine.llm import LLM

Message = dict[str, Any]
SLACK_TOKENS = 16
"""Pieces of a prompt that are counted apart may be a few tokens more together."""


@dataclass(frozen=True, kw_only=True)
class DocumentPrompt:
    """A question behind its documents. pages: where these stand in it, by the whole's indices."""

    question: str
    token_ids: list[int]
    pages: tuple[PageTokens, ...] = ()

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens that do not depend on the question: those that are worth keeping."""
        return self.pages[-1].end if self.pages else 0


def document_prompt(
    llm: LLM, excerpt: Excerpt, question: str, history: Sequence[Message] = ()
) -> DocumentPrompt:
    """Documents first, then the conversation so far, then the question."""
    rendered = llm.chat_template.render(
        prompt_messages(excerpt.documents, question, history=history)
    )
    token_ids = llm.tokenizer.encode_segments(rendered.segments)
    pages = page_tokens(excerpt.documents, rendered.text, token_ids, llm.tokenizer)
    return DocumentPrompt(
        question=question,
        token_ids=token_ids,
        pages=tuple(replace(page, document=excerpt.indices[page.document]) for page in pages),
    )


def plain_prompt(llm: LLM, messages: Sequence[Message], question: str) -> DocumentPrompt:
    """A prompt without documents of its own."""
    return DocumentPrompt(question=question, token_ids=llm.encode_chat(messages))


def token_counter(llm: LLM) -> Callable[[str], int]:
    """Tokens of a text, markup in it being text."""
    return lambda text: len(llm.tokenizer.encode_array(text, allow_special=False))


def room_for_documents(llm: LLM, question: str, max_tokens: int) -> int:
    """Tokens that documents may take beside the question, the template and the answer."""
    empty = llm.encode_chat(prompt_messages([], question))
    return llm.max_model_len - max_tokens - len(empty) - SLACK_TOKENS
