"""What an evaluation asks: documents per length, and the questions in each."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longreach.errors import InvalidRequestError
from longreach.evals.needle import DEFAULT_KINDS, KINDS, Document, build_document
from longreach.evals.needle.documents import Encode, Haystack

ASSISTANT_ROOM = 160
"""Tokens of a length that the chat turns, the question and the answer take, not the document."""


@dataclass(frozen=True, kw_only=True)
class LengthPlan:
    """How many questions a length gets, over how many documents."""

    tokens: int
    questions: int
    documents: int

    def __post_init__(self) -> None:
        if not 1 <= self.documents <= self.questions:
            expected = f"between 1 and questions ({self.questions})"
            raise InvalidRequestError("documents", self.documents, expected)

    def questions_of(self, document: int) -> int:
        """Questions of one document: the total, spread as evenly as it goes."""
        low, more = divmod(self.questions, self.documents)
        return low + (1 if document < more else 0)


def default_plan(tokens: int, questions: int | None = None) -> LengthPlan:
    """100 questions up to 32K, 40 up to 128K, 50 beyond, each document asked 8 (long: 25) times.

    Documents are costly when long and questions from the cached prefix are not, so long documents
    hold more needles; there are always two documents at least.
    """
    usual, per_document = (
        (100, 8) if tokens <= 32_768 else (40, 8) if tokens <= 131_072 else (50, 25)
    )
    count = usual if questions is None else questions
    return LengthPlan(
        tokens=tokens, questions=count, documents=min(count, max(2, -(-count // per_document)))
    )


@dataclass(frozen=True, kw_only=True)
class EvalPlan:
    """One evaluation: every document it will build is a function of these values."""

    lengths: tuple[LengthPlan, ...]
    kinds: tuple[str, ...] = DEFAULT_KINDS
    haystack: Haystack = "real"
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            names = ", ".join(KINDS)
            raise InvalidRequestError("kinds", ",".join(self.kinds), f"some of {names}")
        if self.kinds.count("passkey") > 1:
            expected = "passkey once: a text has one pass key"
            raise InvalidRequestError("kinds", ",".join(self.kinds), expected)
        for length in self.lengths if self.kinds == ("passkey",) else ():
            if length.documents < length.questions:
                expected = f"as many as questions ({length.questions}): a text has one pass key"
                raise InvalidRequestError("documents", length.documents, expected)

    def documents(self) -> Iterator[DocumentPlan]:
        """Every document, shortest first."""
        for length in self.lengths:
            for index in range(length.documents):
                yield DocumentPlan(plan=self, length=length, index=index)

    @property
    def num_questions(self) -> int:
        """Of all lengths."""
        return sum(length.questions for length in self.lengths)


@dataclass(frozen=True, kw_only=True)
class DocumentPlan:
    """One document of a plan, not built yet."""

    plan: EvalPlan
    length: LengthPlan
    index: int

    @property
    def key(self) -> str:
        """Names the document in a result file."""
        return f"{self.length.tokens}/{self.index}"

    @property
    def num_questions(self) -> int:
        """Questions this document is asked."""
        return self.length.questions_of(self.index)

    @property
    def depths(self) -> tuple[float, ...]:
        """Of each question, 0 to 1: the documents of a length share even depths out among them.

        In an order of their own, so that tasks, which come in turn, meet every depth.
        """
        total, step = self.length.questions, self.length.documents
        even = [(place + 0.5) / total for place in range(self.index, total, step)]
        random.Random(f"depths {self.plan.seed} {self.key}").shuffle(even)
        return tuple(even)

    def build(self, encode: Encode) -> Document:
        """The document: with chat turns and a question at most `length.tokens` tokens.

        Raises InvalidRequestError when the needles alone do not fit.
        """
        return build_document(
            encode,
            self.length.tokens,
            room=ASSISTANT_ROOM,
            depths=self.depths,
            seed=self.plan.seed * 1_000_003 + self.length.tokens * 101 + self.index,
            num_questions=self.num_questions,
            kinds=rotated(self.plan.kinds, self.index * self.num_questions),
            haystack=self.plan.haystack,
        )


def rotated(kinds: Sequence[str], start: int) -> tuple[str, ...]:
    """The kinds in turn from another start, so that short documents together ask all of them."""
    at = start % len(kinds)
    return (*kinds[at:], *kinds[:at])
