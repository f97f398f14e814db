"""Documents beyond the window: the pages that speak of the question, or all of them in parts.

Never a silent cut: a person chooses, by an option or when asked, or nothing is read at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from longreach.cli.ask.answers import Answer, Reading, answer_of
from longreach.cli.ask.asker import Asker
from longreach.cli.ask.prompts import (
    DocumentPrompt,
    plain_prompt,
    room_for_documents,
    token_counter,
)
from longreach.cli.ask.settings import OverLength
from longreach.cli.ask.view import View
from longreach.documents.citations import cite
from longreach.documents.excerpts import Excerpt
from longreach.documents.map_reduce import (
    PartAnswer,
    part_label,
    part_question,
    plan_parts,
    reduce_groups,
    reduce_messages,
)
from longreach.documents.search import best_pages

ADVICE = (
    "choose --over-length search (answer from the pages that speak of the question) or "
    "--over-length map-reduce (read all in parts, then join their answers)"
)
_NO_ROOM = "no page fits beside the question: lower --max-tokens, or use --over-length map-reduce"


def ask_beyond_window(
    asker: Asker, prompt: DocumentPrompt, question: str, view: View, how: OverLength | None
) -> Answer:
    """Answer in the way chosen. prompt: the one that does not fit.

    Raises DocumentsTooLongError where nobody chooses.
    """
    how = how or view.choose(len(prompt.token_ids), asker.llm.max_model_len)
    if how is None:
        raise asker.too_long(prompt, ADVICE)
    if how is OverLength.SEARCH:
        return _ask_pages(asker, prompt, question, view)
    return _ask_parts(asker, question, view)


def _ask_pages(asker: Asker, prompt: DocumentPrompt, question: str, view: View) -> Answer:
    room = room_for_documents(asker.llm, question, asker.settings.max_tokens)
    with view.waiting("searching the pages"):
        selection = best_pages(
            asker.documents, question, num_tokens=room, count=token_counter(asker.llm)
        )
    if not selection.excerpt.documents:
        raise asker.too_long(prompt, _NO_ROOM)
    num_read = len(selection.scores)
    view.note(
        f"reading {num_read:,} of {selection.num_pages:,} pages: those closest to the question"
    )
    chosen = asker.excerpt_prompt(selection.excerpt, question)
    with view.answering() as place:
        reading = asker.read(chosen, show=place.show, progress=place.progress)
    return answer_of(
        question,
        asker.documents,
        [reading],
        over_length=OverLength.SEARCH,
        num_pages_read=num_read,
    )


def _ask_parts(asker: Asker, question: str, view: View) -> Answer:
    longest = part_question(question, 999, 999)
    room = room_for_documents(asker.llm, longest, asker.settings.max_tokens)
    with view.waiting("cutting the documents into parts"):
        parts = plan_parts(asker.documents, num_tokens=room, count=token_counter(asker.llm))
    readings: list[Reading] = []
    for number, part in enumerate(parts, start=1):
        asked = part_question(question, number, len(parts))
        with view.part(f"part {number} of {len(parts)}") as place:
            prompt = asker.excerpt_prompt(part, asked)
            readings.append(asker.read(prompt, show=place.show, progress=place.progress))
    joined = _join(asker, question, parts, readings, view)
    return answer_of(
        question, asker.documents, [*readings, *joined], over_length=OverLength.MAP_REDUCE
    )


def _join(
    asker: Asker, question: str, parts: Sequence[Excerpt], readings: Sequence[Reading], view: View
) -> list[Reading]:
    """Rounds of joining, until one answer is left; what no part supports is left out."""
    with view.waiting("looking up what the parts say"):
        answers = _supported(question, parts, readings)
    count = token_counter(asker.llm)
    done: list[Reading] = []
    while True:
        room = room_for_documents(asker.llm, question, asker.settings.max_tokens)
        groups = reduce_groups(answers, num_tokens=room, count=count)
        is_last = len(groups) == 1
        answers = []
        for number, group in enumerate(groups, start=1):
            title = f"joining {number} of {len(groups)}"
            with view.answering() if is_last else view.part(title) as place:
                prompt = plain_prompt(asker.llm, reduce_messages(group, question), question)
                done.append(asker.read(prompt, show=place.show, progress=place.progress))
            label = "; ".join(answer.label for answer in group)
            answers.append(PartAnswer(label=label, text=done[-1].text))
        if is_last:
            return done


def _supported(
    question: str, parts: Sequence[Excerpt], readings: Sequence[Reading]
) -> list[PartAnswer]:
    """The parts' answers that say something that stands in the part; all, where none does."""
    answers = [
        PartAnswer(label=part_label(part), text=reading.text)
        for part, reading in zip(parts, readings, strict=True)
    ]
    supported = [
        answer
        for part, answer in zip(parts, answers, strict=True)
        if not answer.says_nothing and _stands_in(answer, part, question)
    ]
    return supported or answers


def _stands_in(answer: PartAnswer, part: Excerpt, question: str) -> bool:
    """Whether any of it is found there; a quote that stands nowhere is cited, too."""
    citations = cite(answer.text, part.documents, question=question)
    return any(citation.end > citation.start for citation in citations)
