"""A question about more than a prompt holds: asked of each part, then of the parts' answers.

Plans only: whoever has an engine runs them. Parts are cut where pages end, so that an answer can
name its page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from longreach.documents.excerpts import (
    CountTokens,
    Excerpt,
    Place,
    excerpt,
    header_cost,
    page_cost,
)
from longreach.documents.prompt import SYSTEM_PROMPT, Message
from longreach.documents.quotes import find_quotes
from longreach.documents.types import SEPARATOR, Document, Page
from longreach.errors import InvalidRequestError

NOT_HERE = "not in this part"


@dataclass(frozen=True, kw_only=True)
class PartAnswer:
    """What a part's prompt was answered. label: which pages it read."""

    label: str
    text: str

    @property
    def says_nothing(self) -> bool:
        """Whether the model found no answer in its part; half a one quotes a page."""
        if NOT_HERE not in self.text.lower():
            return not self.text.strip()
        return all(quote.reference is None for quote in find_quotes(self.text))


def plan_parts(
    documents: Sequence[Document], *, num_tokens: int, count: CountTokens
) -> list[Excerpt]:
    """The documents in parts of at most `num_tokens` tokens each, every page in one part, in order.

    A page that is larger than a part is cut at line ends, else at words; its pieces keep its
    number. count: tokens of a text. Raises InvalidRequestError for a part too small for any text.
    """
    count = cache(count)
    parts: list[list[Place]] = [[]]
    left, opened = num_tokens, -1
    for index, page in _pieces(documents, num_tokens, count):
        header, cost = header_cost(documents[index], count), page_cost(page, count)
        if (header if index != opened else 0) + cost > left and parts[-1]:
            parts.append([])
            left, opened = num_tokens, -1
        left -= cost + (header if index != opened else 0)
        opened = index
        parts[-1].append((index, page))
    return [excerpt(documents, places) for places in parts if places]


def part_question(question: str, part: int, num_parts: int) -> str:
    """The question as one part is asked it. part: from 1."""
    return (
        f"This is part {part} of {num_parts} of the documents. If it does not answer the question, "
        f'say "{NOT_HERE}".{SEPARATOR}{question}'
    )


def part_label(part: Excerpt) -> str:
    """Which pages a part holds: "book.pdf, page 1 to page 80"."""
    return "; ".join(_label(document) for document in part.documents)


def reduce_messages(answers: Sequence[PartAnswer], question: str) -> list[Message]:
    """The messages that make one answer of those of the parts."""
    found = SEPARATOR.join(f"[{answer.label}]\n{answer.text.strip()}" for answer in answers)
    intro = "These answers were found in different parts of the documents."
    content = SEPARATOR.join([intro, found, question])
    return [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": content}]


def reduce_groups(
    answers: Sequence[PartAnswer], *, num_tokens: int, count: CountTokens
) -> list[list[PartAnswer]]:
    """Neighbouring answers that fit one prompt of `num_tokens` tokens, two of them at least.

    So every round of reducing has at most half as many answers, whatever their length.
    """
    groups: list[list[PartAnswer]] = []
    left = 0
    for answer in answers:
        cost = count(f"[{answer.label}]\n{answer.text}{SEPARATOR}")
        if not groups or (cost > left and len(groups[-1]) >= 2):
            groups.append([])
            left = num_tokens
        groups[-1].append(answer)
        left -= cost
    return groups


def _label(document: Document) -> str:
    first, last = document.pages[0].label, document.pages[-1].label
    return f"{document.name}, {first}" + ("" if first == last else f" to {last}")


def _pieces(documents: Sequence[Document], num_tokens: int, count: CountTokens) -> Iterator[Place]:
    for index, document in enumerate(documents):
        room = num_tokens - header_cost(document, count)
        for page in document.pages:
            yield from ((index, piece) for piece in _cut(page, room, count))


def _cut(page: Page, room: int, count: CountTokens) -> Iterator[Page]:
    """The page, or halves of halves of it that fit."""
    if page_cost(page, count) <= room:
        yield page
        return
    if len(page.text) < 2:
        raise InvalidRequestError("num_tokens", room, "room for a page's anchor and some text")
    middle = _middle(page.text)
    for text in (page.text[:middle], page.text[middle:]):
        yield from _cut(replace(page, text=text), room, count)


def _middle(text: str) -> int:
    """A place near the middle where a line ends, else a word, else the middle."""
    half = len(text) // 2
    for mark in ("\n", " "):
        at = text.rfind(mark, half // 2, half) + 1
        if at > 0:
            return at
    return half
