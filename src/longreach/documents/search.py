"""The pages that speak of a question, by BM25 (Robertson and Zaragoza, 2009, section 3)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from longreach.documents.excerpts import (
    CountTokens,
    Excerpt,
    Place,
    excerpt,
    header_cost,
    page_cost,
)
from longreach.documents.types import Document
from longreach.documents.words import split_words

K1 = 1.2
B = 0.75


@dataclass(frozen=True, kw_only=True)
class PageSelection:
    """The pages chosen for a prompt. scores: (document's index, page's number, score), best first.

    num_pages: of all documents together.
    """

    excerpt: Excerpt
    scores: tuple[tuple[int, int, float], ...]
    num_pages: int


def best_pages(
    documents: Sequence[Document], question: str, *, num_tokens: int, count: CountTokens
) -> PageSelection:
    """As many of the best pages as fit `num_tokens` tokens, in order of reading.

    Pages that have no word of the question are left out, unless none has one: then the first pages
    are taken. Equal scores go in order of reading. count: tokens of a text.
    """
    places = [(index, page) for index, document in enumerate(documents) for page in document.pages]
    scores = score_pages([page.text for _, page in places], question)
    order = sorted(range(len(places)), key=lambda at: -scores[at])
    wanted = [at for at in order if scores[at] > 0] or order
    chosen = _fitting(documents, places, wanted, num_tokens, count)
    return PageSelection(
        excerpt=excerpt(documents, [places[at] for at in sorted(chosen)]),
        scores=tuple((places[at][0], places[at][1].number, scores[at]) for at in chosen),
        num_pages=len(places),
    )


def score_pages(texts: Sequence[str], question: str) -> list[float]:
    """How much each text speaks of the question; 0 for one without any of its words."""
    counts = [Counter(split_words(text)) for text in texts]
    lengths = [sum(words.values()) for words in counts]
    mean = sum(lengths) / len(lengths) if any(lengths) else 1.0
    scores = [0.0] * len(texts)
    for word in dict.fromkeys(split_words(question)):
        found = [at for at, words in enumerate(counts) if word in words]
        rarity = math.log(1 + (len(texts) - len(found) + 0.5) / (len(found) + 0.5))
        for at in found:
            frequency = counts[at][word]
            damped = frequency + K1 * (1 - B + B * lengths[at] / mean)
            scores[at] += rarity * frequency * (K1 + 1) / damped
    return scores


def _fitting(
    documents: Sequence[Document],
    places: Sequence[Place],
    wanted: Sequence[int],
    num_tokens: int,
    count: CountTokens,
) -> list[int]:
    """Those of `wanted`, in its order, that fit together; one too large makes room for the next."""
    count = cache(count)
    chosen: list[int] = []
    opened: set[int] = set()
    left = num_tokens
    for at in wanted:
        index, page = places[at]
        cost = page_cost(page, count)
        if index not in opened:
            cost += header_cost(documents[index], count)
        if cost <= left:
            left -= cost
            opened.add(index)
            chosen.append(at)
    return chosen
