"""Run an evaluation plan on an engine, keep every answer, resume where a run was stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longreach.errors import InvalidRequestError
from longreach.evals.needle import Question, score
from longreach.evals.plan import DocumentPlan, EvalPlan
from longreach.evals.reader import Reader, Reply

MAX_ANSWER_TOKENS = 96


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question, asked and scored.

    document: key of the document in the plan. depth: where its needle stood, 0 to 1. score: share
    of the expected values found. ttft_s: seconds from the question's text to the first token.
    """

    document: str
    length: int
    kind: str
    depth: float
    question: str
    expected: tuple[str, ...]
    output: str
    score: float
    num_prompt_tokens: int
    num_cached_tokens: int
    ttft_s: float
    recall_min: float
    recall_mean: float
    density: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a listener hears: a document is next (`answer` is None), or a question was answered."""

    document: DocumentPlan
    done: int
    total: int
    answer: Answer | None


Listener = Callable[[Event], object]
PrefillListener = Callable[[int, int, int, float | None], object]


def run_plan(
    reader: Reader,
    plan: EvalPlan,
    *,
    settings: dict[str, Any],
    save_to: Path | None = None,
    listen: Listener = lambda _: None,
    progress: PrefillListener | None = None,
) -> list[Answer]:
    """Ask everything; return the answers in the plan's order.

    settings: what makes two runs comparable (model, mode, ...). With `save_to`, finished documents
    are written after each one, and a later call with the same settings asks only what is missing
    (and keeps what the file holds of other lengths); other settings raise InvalidRequestError.
    """
    saved = load_answers(save_to, settings) if save_to else []
    planned = {document.key for document in plan.documents()}
    others = [a for a in saved if a.document not in planned]
    finished = complete_documents(saved, plan)
    answers = [a for a in saved if a.document in finished]
    for document in plan.documents():
        if document.key in finished:
            continue
        listen(Event(document=document, done=len(answers), total=plan.num_questions, answer=None))
        for answer in ask_document(reader, document, progress):
            answers.append(answer)
            listen(_event(document, answers, plan))
        if save_to:
            save_answers(save_to, settings, [*others, *answers])
    return in_plan_order(answers, plan)


def ask_document(
    reader: Reader, document: DocumentPlan, progress: PrefillListener | None = None
) -> Iterable[Answer]:
    """Build one document and ask its questions in turn; all but the first find it in the cache."""
    built = document.build(reader.encode)
    for question in built.questions:
        messages = built.messages(question)
        reply = reader.ask(messages, max_tokens=MAX_ANSWER_TOKENS, progress=progress)
        yield make_answer(document, question, reply)


def make_answer(document: DocumentPlan, question: Question, reply: Reply) -> Answer:
    """Score one reply."""
    return Answer(
        document=document.key,
        length=document.length.tokens,
        kind=question.kind,
        depth=question.depth,
        question=question.text,
        expected=question.answer,
        output=reply.text,
        score=score(reply.text, question.answer),
        num_prompt_tokens=reply.num_prompt_tokens,
        num_cached_tokens=reply.metrics.num_cached_tokens,
        ttft_s=reply.ttft_s,
        recall_min=reply.metrics.recall_min,
        recall_mean=reply.metrics.recall_mean,
        density=reply.metrics.density,
        peak_bytes=reply.metrics.peak_bytes,
    )


def complete_documents(answers: Iterable[Answer], plan: EvalPlan) -> set[str]:
    """Keys of the documents all of whose questions were answered.

    Depths tell the documents of one key apart: they depend on how many questions a length gets.
    """
    depths: dict[str, list[float]] = {}
    for answer in answers:
        depths.setdefault(answer.document, []).append(answer.depth)
    return {d.key for d in plan.documents() if depths.get(d.key) == list(d.depths)}


def in_plan_order(answers: Iterable[Answer], plan: EvalPlan) -> list[Answer]:
    """Answers by document as the plan names them; the order inside a document is kept."""
    place = {document.key: index for index, document in enumerate(plan.documents())}
    return sorted(answers, key=lambda answer: place[answer.document])


def save_answers(path: Path, settings: dict[str, Any], answers: Iterable[Answer]) -> None:
    """Replace the file in one step, so that a stop in the middle leaves the last whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"settings": settings, "answers": [asdict(answer) for answer in answers]}
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)  # noqa: PTH105 - Path.replace says the same with a surprising name


def load_answers(path: Path, settings: dict[str, Any]) -> list[Answer]:
    """Answers saved before under the same settings; none when there is no file."""
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text())
        saved, answers = content["settings"], content["answers"]
        found = [Answer(**{**a, "expected": tuple(a["expected"])}) for a in answers]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidRequestError("json", str(path), "a result file of this command") from error
    differing = sorted(k for k in saved.keys() | settings.keys() if saved.get(k) != settings.get(k))
    if differing:
        raise InvalidRequestError(
            "json", str(path), f"a file of the same settings (differs in {', '.join(differing)})"
        )
    return found


def _event(document: DocumentPlan, answers: list[Answer], plan: EvalPlan) -> Event:
    return Event(document=document, done=len(answers), total=plan.num_questions, answer=answers[-1])
