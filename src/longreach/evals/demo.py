"""The demonstration: hide needles in a long real text, read it, ask, and ask again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from longreach.engine.outputs import RequestMetrics
from longreach.evals.needle import Document, Planted, Question, build_document, contains_value
from longreach.evals.plan import ASSISTANT_ROOM
from longreach.evals.reader import Reader, Reply

KINDS = ("passkey", "single", "word_value", "multi_query")
MAX_ANSWER_TOKENS = 96
DENSE_LENGTHS = (8192, 32_768)
"""Where dense attention is affordable: these two are measured, and the rest is extrapolated."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question, what the model said, and which of the hidden values were in it."""

    question: Question
    reply: Reply
    found: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether every value was found."""
        return len(self.found) == len(self.question.answer)


@dataclass(frozen=True, kw_only=True)
class DenseCost:
    """What dense attention would have taken to the first token of this prompt.

    measured: (tokens, seconds) pairs of real dense runs. seconds: at `tokens`, extrapolated.
    """

    measured: tuple[tuple[int, float], ...]
    tokens: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """Everything the demonstration found out."""

    prompt_tokens: int
    planted: tuple[Planted, ...]
    asked: tuple[Asked, ...]
    dense: DenseCost | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> tuple[str, ...]:
        """Hidden values that the answers named."""
        return tuple(value for asked in self.asked for value in asked.found)

    @property
    def metrics(self) -> RequestMetrics:
        """Of the first question, which read the whole text."""
        return self.asked[0].reply.metrics

    def as_json(self) -> dict[str, Any]:
        """Plain data, with the keys that `longreach demo --json` promises."""
        second = self.asked[1]
        return {
            "prompt_tokens": self.prompt_tokens,
            "planted": [
                {"key": p.needle.key or "pass key", "value": p.needle.value, "depth": p.depth}
                for p in self.planted
            ],
            "found": list(self.found),
            "second_question": {
                "question": second.question.text,
                "found": list(second.found),
                "num_cached_tokens": second.reply.metrics.num_cached_tokens,
                "ttft_s": second.reply.ttft_s,
            },
            "metrics": asdict(self.metrics),
            "dense": None if self.dense is None else asdict(self.dense),
            **self.extra,
        }


class DemoView(Protocol):
    """What a demonstration shows while it runs."""

    def on_document(self, document: Document) -> None:
        """The haystack stands, needles inside."""

    def on_question(self, question: Question, index: int) -> None:
        """A question is about to be asked; index 0 reads the whole text."""

    def on_progress(self, processed: int, total: int, cached: int, eta_s: float | None) -> None:
        """Tokens read so far."""

    def on_answer(self, asked: Asked, index: int) -> None:
        """A question was answered."""

    def on_dense_start(self, lengths: Sequence[int]) -> None:
        """Dense attention is about to be measured at these lengths."""


def run_demo(
    reader: Reader,
    view: DemoView,
    *,
    tokens: int,
    text: str | None = None,
    seed: int = 0,
    measure_dense: bool = True,
) -> DemoResult:
    """Hide, read, ask, ask again.

    tokens: of the whole prompt. text: a haystack of your own, cycled when it is shorter. Raises
    InvalidRequestError when the needles alone do not fit.
    """
    document = build_document(
        reader.encode,
        tokens,
        room=ASSISTANT_ROOM,
        seed=seed,
        num_questions=len(KINDS),
        kinds=KINDS,
        text=text,
    )
    view.on_document(document)
    asked = tuple(ask_in_turn(reader, view, document))
    return DemoResult(
        prompt_tokens=asked[0].reply.num_prompt_tokens,
        planted=document.planted,
        asked=asked,
        dense=_dense_cost(reader, view, asked[0], seed) if measure_dense else None,
    )


def ask_in_turn(reader: Reader, view: DemoView, document: Document) -> list[Asked]:
    """Every question of the document; all but the first find the text in the cache."""
    answers = []
    for index, question in enumerate(document.questions):
        view.on_question(question, index)
        reply = reader.ask(
            document.messages(question), max_tokens=MAX_ANSWER_TOKENS, progress=view.on_progress
        )
        found = tuple(v for v in question.answer if contains_value(reply.text, v))
        answers.append(Asked(question=question, reply=reply, found=found))
        view.on_answer(answers[-1], index)
    return answers


def _dense_cost(reader: Reader, view: DemoView, first: Asked, seed: int) -> DenseCost | None:
    """None where the text itself was read densely."""
    tokens = first.reply.num_prompt_tokens
    if tokens <= max(DENSE_LENGTHS) or first.reply.metrics.density >= 1.0:
        return None
    view.on_dense_start(DENSE_LENGTHS)
    measured = [measure_dense_run(reader, length, seed + 1) for length in DENSE_LENGTHS]
    kept = [(m.num_prompt_tokens, m.ttft_s) for m in measured if m.metrics.density >= 1.0]
    if len(kept) < 2:
        return None
    return DenseCost(
        measured=tuple(kept), tokens=tokens, seconds=extrapolate(kept[0], kept[1], tokens)
    )


def measure_dense_run(reader: Reader, length: int, seed: int) -> Reply:
    """Read a fresh text of this length, short enough for the engine to be dense."""
    document = build_document(
        reader.encode, length - ASSISTANT_ROOM, seed=seed * 7919 + length, num_questions=1
    )
    return reader.ask(document.messages(document.questions[0]), max_tokens=1)


def extrapolate(short: tuple[int, float], long: tuple[int, float], tokens: int) -> float:
    """Seconds at `tokens`, from a·n² + b·n through two measured (tokens, seconds) pairs.

    Attention costs n², the rest n. A negative term (two noisy measurements) counts as zero, and the
    longer run then sets the other one.
    """
    (n, s), (m, t) = short, long
    quadratic = (t / m - s / n) / (m - n)
    linear = s / n - quadratic * n
    if quadratic < 0:
        return t / m * tokens
    if linear < 0:
        return t / m**2 * tokens**2
    return quadratic * tokens**2 + linear * tokens
