"""One question from its estimate to its citations."""

from __future__ import annotations

from collections.abc import Sequence

from longreach.cli.ask.answers import Answer, answer_of
from longreach.cli.ask.asker import Asker
from longreach.cli.ask.over_length import ask_beyond_window
from longreach.cli.ask.prompts import Message
from longreach.cli.ask.show import forecast_line
from longreach.cli.ask.view import View

FORGET_ADVICE = "/forget begins a new conversation about the same documents"


def ask_question(
    asker: Asker, question: str, view: View, history: Sequence[Message] = ()
) -> Answer:
    """Say what it will take, read, answer, cite.

    history: earlier turns. Raises DocumentsTooLongError where documents do not fit and nobody says
    how to read them, or where the conversation does not fit any more.
    """
    with view.waiting("counting tokens"):
        prompt = asker.prompt(question, history)
    if asker.fits(prompt):
        length, limit = len(prompt.token_ids), asker.llm.max_model_len
        with view.waiting("looking for what was read before"):
            forecast = asker.forecast(prompt)
        view.note(forecast_line(asker.llm.model, length, limit, forecast))
        with view.answering() as place:
            reading = asker.read(prompt, show=place.show, progress=place.progress)
        return answer_of(question, asker.documents, [reading])
    if history and asker.fits(asker.prompt(question)):
        raise asker.too_long(prompt, FORGET_ADVICE)
    return ask_beyond_window(asker, prompt, question, view, asker.settings.over_length)
