"""Documents of a wanted length with needles at wanted depths, and the questions about them.

A document is the text before the question. Asked in turn, questions share it to the byte, so a
prefix cache reads it once:

    document = build_document(encode, num_tokens=131072, seed=0, num_questions=8)
    for question in document.questions:
        messages = document.messages(question)      # system + user turn, question last

Lengths count the tokens of the document itself; the chat turns and the question add about 60.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from longreach.errors import InvalidRequestError
from longreach.evals.needle.haystack import (
    next_boundary,
    real_text,
    repeated_text,
    with_page_anchors,
)
from longreach.evals.needle.tasks import (
    MAGIC_INTRO,
    PASSKEY_INTRO,
    SYSTEM_PROMPT,
    Needle,
    Question,
    ask,
    draw_needles,
    question_size,
)

Encode = Callable[[str], Sequence[int]]
Haystack = Literal["real", "repeated", "pages"]

TOLERANCE = 0.005
DEFAULT_KINDS = ("single", "passkey", "number_key", "word_value", "multi_query", "multi_value")


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A needle and the depth it was asked to stand at (0 start, 1 end of the haystack)."""

    needle: Needle
    depth: float


@dataclass(frozen=True, kw_only=True)
class Document:
    """A haystack with its needles, and the questions about them.

    text: the whole document, introduction included. num_tokens: by the encode given.
    question_first: the question stands before the text as well as in its place after it.
    """

    text: str
    num_tokens: int
    planted: tuple[Planted, ...]
    questions: tuple[Question, ...]

    def messages(self, question: Question, *, question_first: bool = False) -> list[dict[str, str]]:
        """Chat messages of one question: the text, then the question (or the question first)."""
        parts = [question.text, self.text] if question_first else [self.text, question.text]
        return [
            {"role": "system", "content": SYSTEM_PROMPT},
            {"role": "user", "content": "\n\n".join(parts)},
        ]


def build_document(
    encode: Encode,
    num_tokens: int,
    *,
    seed: int,
    num_questions: int = 8,
    kinds: Sequence[str] = DEFAULT_KINDS,
    haystack: Haystack = "real",
    text: str | None = None,
    depths: Sequence[float] | None = None,
    room: int = 0,
) -> Document:
    """A document of at most num_tokens tokens (and at least 99.5 % of that) with many questions.

    room: how many of num_tokens are left for what stands around the document.
    kinds: the questions take them in turn; a document holds one pass key at most.
    text: your own haystack instead of the held-out sources; used from its start, and cycled when
    it is too short. depths: of each question's first needle; evenly spread when not given, in an
    order drawn from the seed. Further needles of a question stand at random depths. Raises
    InvalidRequestError when the needles alone do not fit.
    """
    rng = random.Random(f"document {seed}")
    asked = _draw_questions(rng, kinds, num_questions)
    spread = depths if depths is not None else _spread_depths(rng, num_questions)
    planted, questions = [], []
    for (kind, needles), depth in zip(asked, spread, strict=True):
        places = [depth, *(rng.random() for _ in needles[1:])]
        planted += [Planted(needle=n, depth=d) for n, d in zip(needles, places, strict=True)]
        questions.append(ask(needles, depth=depth, kind=kind))
    source = _source(haystack, seed, text)
    intro = _intro(kinds)
    least = len(encode(plant("", planted, intro=intro))) + room
    if least > num_tokens:
        expected = f"at least {least}: the needles and a question take so many"
        raise InvalidRequestError("tokens", num_tokens, expected)
    body = fit_document(encode, num_tokens - room, source, planted, intro=intro)
    return Document(
        text=body,
        num_tokens=len(encode(body)),
        planted=tuple(planted),
        questions=tuple(questions),
    )


def build_single(
    encode: Encode,
    num_tokens: int,
    *,
    seed: int,
    depth: float,
    kind: str = "passkey",
    haystack: Haystack = "repeated",
    text: str | None = None,
) -> Document:
    """A document with one question, its needle at the given depth: one cell of a depth table."""
    return build_document(
        encode,
        num_tokens,
        seed=seed,
        num_questions=1,
        kinds=(kind,),
        haystack=haystack,
        text=text,
        depths=(depth,),
    )


def _draw_questions(
    rng: random.Random, kinds: Sequence[str], count: int
) -> list[tuple[str, list[Needle]]]:
    taken: set[str] = set()
    asked = []
    later = [k for k in kinds if k != "passkey"] or ["single"]
    for index in range(count):
        kind = kinds[index] if index < len(kinds) else later[index % len(later)]
        size = question_size(kind)
        asked.append((kind, draw_needles(rng, kind, count=size, taken=taken)))
    return asked


def _spread_depths(rng: random.Random, count: int) -> list[float]:
    depths = [(index + 0.5) / count for index in range(count)]
    rng.shuffle(depths)
    return depths


def _intro(kinds: Sequence[str]) -> str:
    return PASSKEY_INTRO if tuple(kinds) == ("passkey",) else MAGIC_INTRO


def _source(haystack: Haystack, seed: int, text: str | None) -> Callable[[int], str]:
    """A function from a number of characters to at least that much haystack, nested in length."""
    if text is not None:
        return lambda n: "\n\n".join([text] * (n // max(len(text), 1) + 1))
    if haystack == "repeated":
        return repeated_text
    if haystack == "pages":
        return lambda n: with_page_anchors(real_text(n, seed=seed))
    return lambda n: real_text(n, seed=seed)


def fit_document(
    encode: Encode,
    num_tokens: int,
    source: Callable[[int], str],
    planted: Sequence[Planted],
    *,
    intro: str,
) -> str:
    """The longest document of at most num_tokens tokens: bisection on the haystack's length.

    The needles alone, should they take more.
    """
    low, high = 0, None
    guess = num_tokens * 3
    best = plant("", planted, intro=intro)
    for _ in range(40):
        body = plant(source(guess)[:guess], planted, intro=intro)
        count = len(encode(body))
        if count <= num_tokens:
            low, best = guess, body
            if count >= num_tokens * (1 - TOLERANCE / 2):
                return body
        else:
            high = guess
        if high is not None and high - low <= 1:
            break
        guess = _next_guess(low, high, guess, count, num_tokens)
    return best


def _next_guess(low: int, high: int | None, guess: int, count: int, target: int) -> int:
    """The next haystack length in characters: proportional, kept strictly inside (low, high)."""
    wanted = int(guess * target * (1 - TOLERANCE / 4) / max(count, 1))
    if high is None:
        return max(wanted, low + 1)
    return wanted if low < wanted < high else (low + high) // 2


def plant(haystack: str, planted: Sequence[Planted], *, intro: str) -> str:
    """The introduction, then the haystack with every needle on a line or sentence end at its depth.

    Depth is by characters of the haystack, before planting.
    """
    marks: list[tuple[int, str]] = []
    for item in planted:
        at = 0 if item.depth <= 0 else next_boundary(haystack, int(item.depth * len(haystack)))
        bisect.insort(marks, (at, item.needle.text), key=lambda mark: mark[0])
    pieces, start = [], 0
    for at, sentence in marks:
        pieces += [haystack[start:at], _separated(haystack, at, sentence)]
        start = at
    body = "".join([*pieces, haystack[start:]]).strip()
    return f"{intro}\n\n{body}".strip()


def _separated(haystack: str, at: int, sentence: str) -> str:
    """The sentence with a line's or a word's gap on each side, whichever the place calls for."""
    if at == 0 or haystack[at - 1] == "\n":
        return f"{sentence}\n"
    before = "" if haystack[at - 1].isspace() else " "
    return f"{before}{sentence} "
