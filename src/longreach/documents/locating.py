"""Finding an answer that quotes nothing: by its numbers, its names and its rarest words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longreach.documents.types import Document
from longreach.documents.words import split_words, word_pattern

MAX_FOUND = 5
WINDOW_CHARS = 240
KNOWN_WEIGHT = 0.25
"""A word that stands in the question already weighs so much of one that does not."""
MIN_SHARE = 0.5
"""A further page has to add at least so much of what the best one holds."""
_RARE_COUNT, _RARE_SHARE = 3, 0.05
_RARE_NUMBER_SHARE = 0.5
"""A number that an answer gives is no filler, on however many pages it stands up to half."""
_SENTENCE_END = re.compile(r"[.!?。！？]\s+|\s*\n\s*")
_SENTENCE_CHARS = 160

_Span = tuple[int, int, str]  # of a word in a page's text


@dataclass(frozen=True, kw_only=True)
class PageLook:
    """Share of an answer's attention that fell on a page. document: index; page: number."""

    document: int
    page: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """Words of an answer on a page: `text` is [start, end) of the page's text.

    num_pages: pages that hold as much of the answer.
    """

    document: int
    page: int
    start: int
    end: int
    text: str
    num_pages: int


def locate(
    answer: str,
    documents: Sequence[Document],
    *,
    question: str = "",
    looked: Sequence[PageLook] = (),
) -> list[Found]:
    """The pages that hold what the answer says, the most looked at first.

    Pages are taken greedily: the one with the most telling words, then the one with most of what is
    left. Between equals the attention decides, then the order of reading. Words of the question
    help to choose, but find nothing by themselves; one rare word alone is a coincidence, unless it
    is a number.
    """
    terms = _Terms(answer, question, documents)
    shares = {(look.document, look.page): look.share for look in looked}
    found: list[Found] = []
    left, first = dict(terms.news), 0.0
    while left and len(found) < MAX_FOUND:
        scores = {place: terms.score(place, left) for place in terms.places_of(left)}
        if not scores:
            break
        best = max(scores, key=lambda p: (scores[p], shares.get(terms.name(p), 0.0), -p))
        gain = sum(left[word] for word in terms.held[best] if word in left)
        if gain < MIN_SHARE * first:
            break
        first = first or gain
        equals = sum(score >= scores[best] - 1e-9 for score in scores.values())
        found.append(terms.found(best, num_pages=equals))
        left = {word: weight for word, weight in left.items() if word not in terms.held[best]}
    return sorted(found, key=lambda f: -shares.get((f.document, f.page), 0.0))


class _Terms:
    """The words of an answer and the pages that hold them, pages counted through all documents.

    news: word -> weight of those that the question does not have. held: page -> its words.
    """

    def __init__(self, answer: str, question: str, documents: Sequence[Document]) -> None:
        self._pages = [(i, page) for i, document in enumerate(documents) for page in document.pages]
        self._texts = [_lower(page.text) for _, page in self._pages]
        asked = set(split_words(question))
        said = list(dict.fromkeys(split_words(answer)))
        self._patterns = {word: word_pattern(word) for word in [*said, *sorted(asked)]}
        self.held: dict[int, set[str]] = {}
        counts = {word: self._look_up(word) for word in self._patterns}
        self.weights = {
            word: _weight(word, count, len(self._pages)) for word, count in counts.items() if count
        }
        self._rare = {word for word, count in counts.items() if self._is_rare(word, count)}
        known = [word for word in said if word in self.weights]
        has_news = any(word not in asked for word in said)
        news = [word for word in known if word not in asked] if has_news else known
        self.news = {word: self.weights[word] for word in news}
        for word in self.weights.keys() - self.news.keys():
            self.weights[word] *= KNOWN_WEIGHT

    def name(self, place: int) -> tuple[int, int]:
        document, page = self._pages[place]
        return document, page.number

    def places_of(self, words: Mapping[str, float]) -> list[int]:
        """Pages that hold one of the words, and enough to be no coincidence."""
        return [p for p, held in self.held.items() if held & words.keys() and self._tells(p, words)]

    def score(self, place: int, left: Mapping[str, float]) -> float:
        """Weight of what is left to be found and stands here, and of the question's words."""
        held = self.held[place]
        return sum(
            self.weights[word] for word in sorted(held) if word in left or word not in self.news
        )

    def found(self, place: int, *, num_pages: int) -> Found:
        """The stretch of the page with most of the words."""
        document, page = self._pages[place]
        start, end = self._densest(place)
        return Found(
            document=document,
            page=page.number,
            start=start,
            end=end,
            text=page.text[start:end],
            num_pages=num_pages,
        )

    def _look_up(self, word: str) -> int:
        """Number of pages with the word; they are noted in `held`."""
        pattern, count = self._patterns[word], 0
        for place, text in enumerate(self._texts):
            if word in text and pattern.search(text):
                self.held.setdefault(place, set()).add(word)
                count += 1
        return count

    def _is_rare(self, word: str, count: int) -> bool:
        share = _RARE_NUMBER_SHARE if _is_number(word) else _RARE_SHARE
        return count <= max(_RARE_COUNT, share * len(self._pages))

    def _tells(self, place: int, words: Mapping[str, float]) -> bool:
        rare = self.held[place] & self._rare
        return bool(rare & words.keys()) and (len(rare) > 1 or any(map(_is_number, rare)))

    def _densest(self, place: int) -> tuple[int, int]:
        """[start, end) of the sentences around the WINDOW_CHARS that weigh most."""
        text = self._texts[place]
        spans = sorted(
            (match.start(), match.end(), word)
            for word in self.held[place]
            for match in self._patterns[word].finditer(text)
        )
        windows = [self._window(spans, first) for first in range(len(spans))]
        best = max(windows, key=lambda w: sum(self.weights[word] for _, _, word in w))
        news = [span for span in best if span[2] in self.news] or best
        return _sentences(text, news[0][0], news[-1][1])

    def _window(self, spans: list[_Span], first: int) -> list[_Span]:
        """Each word once, as it comes within WINDOW_CHARS of the first."""
        seen: dict[str, _Span] = {}
        for span in spans[first:]:
            if span[0] - spans[first][0] > WINDOW_CHARS:
                break
            seen.setdefault(span[2], span)
        return list(seen.values())


def _sentences(text: str, start: int, end: int) -> tuple[int, int]:
    """Grown to whole sentences or lines, where these end within a reasonable distance."""
    low, high = max(start - _SENTENCE_CHARS, 0), min(end + _SENTENCE_CHARS, len(text))
    before = [match.end() for match in _SENTENCE_END.finditer(text, low, start)]
    begin = before[-1] if before else (0 if low == 0 else start)
    after = _SENTENCE_END.search(text, end, high)
    rest = len(text) if high == len(text) else end
    return begin, after.start() + len(after.group().strip()) if after else rest


def _weight(word: str, count: int, num_pages: int) -> float:
    """The rarer, the more; numbers double. One letter tells nothing."""
    if len(word) == 1 and not word.isdigit():
        return 0.0
    return math.log(1 + num_pages / count) * (2.0 if _is_number(word) else 1.0)


def _is_number(word: str) -> bool:
    return any(map(str.isdigit, word)) and len(word) > 1


def _lower(text: str) -> str:
    """In lower case, where that keeps every character's place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text
