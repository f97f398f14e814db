"""`longreach chat`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from longreach.cli.errors import EXIT_STOPPED
from longreach.cli.options import MODEL_HELP, Debug, MaxTokens, SamplingSeed
from longreach.errors import InvalidRequestError, LongreachError

if TYPE_CHECKING:
    from longreach.cli.chat.backend import Backend
    from longreach.cli.chat.screen import Screen
    from longreach.cli.chat.session import Session

DEFAULT_MODEL = "needle"


def chat(
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="Answer this and leave. Without it: a conversation."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help=f"{MODEL_HELP} With --base-url: a model of that server."
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--base-url", help="Ask a server that speaks OpenAI's API: http://localhost:8000/v1"
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key", envvar=["LONGREACH_API_KEY", "OPENAI_API_KEY"], help="For --base-url."
        ),
    ] = None,
    doc: Annotated[
        list[str] | None,
        typer.Option("--doc", metavar="FILE", help="A text that the questions are about."),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="A system message.")] = None,
    max_tokens: MaxTokens = 2048,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="0: greedy. [default: the model's own]")
    ] = None,
    seed: SamplingSeed = None,
    debug: Debug = False,
) -> None:
    """Talk with a model, here or behind a URL, about documents if you like.

    Text from a pipe is the question, or, with a PROMPT, the text that it is about. /help in the
    conversation lists its commands.

    [bold]Examples[/bold]

      longreach chat

      longreach chat "What is the pass key?" --doc notes.txt

      git log | longreach chat "What changed?" --base-url http://localhost:8000/v1
    """
    from longreach.cli.chat.config import check_settings
    from longreach.cli.chat.conversation import take_turn
    from longreach.cli.chat.documents import read_document
    from longreach.cli.chat.meter import meter
    from longreach.cli.chat.screen import Screen
    from longreach.cli.chat.session import Session

    settings = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    session = Session(
        system=system,
        settings=check_settings(settings),
        documents=[read_document(path) for path in doc or ()],
    )
    question = take_piped(session, prompt)
    screen = Screen()
    backend = open_backend(screen, model, base_url, api_key)
    if question is None:
        hold_conversation(session, backend, screen)
    elif not take_turn(session, backend, screen, question):
        raise typer.Exit(EXIT_STOPPED)
    elif screen.out.is_terminal:
        screen.note(meter(session.usage, backend.max_context))


def open_backend(
    screen: Screen, model: str | None, base_url: str | None, api_key: str | None
) -> Backend:
    """The model of this process or of a server. Raises LongreachError where there is none."""
    from longreach.cli.chat.http import HttpBackend
    from longreach.cli.chat.local import LocalBackend
    from longreach.cli.engine import load_llm

    if base_url is not None:
        return HttpBackend(base_url, api_key=api_key, model=model)
    return LocalBackend(load_llm(model or DEFAULT_MODEL))


def hold_conversation(session: Session, backend: Backend, screen: Screen) -> None:
    """Ask and answer until the person leaves."""
    try:
        from longreach.cli.chat.prompt import line_reader
    except ImportError as error:
        raise LongreachError("chat needs `pip install 'longreach[chat]'`") from error
    from longreach.cli.chat.conversation import converse
    from longreach.cli.chat.meter import meter

    screen.note(f"{backend.name} · /help lists the commands, Ctrl-D leaves")
    read = line_reader(lambda: meter(session.usage, backend.max_context))
    converse(session, backend, screen, read)


def take_piped(session: Session, prompt: str | None) -> str | None:
    """The question of a single turn, None for a conversation. Piped text joins the session.

    Raises InvalidRequestError where there is neither a question nor a person to ask for one.
    """
    from longreach.cli.chat.documents import Document

    piped = "" if sys.stdin.isatty() else sys.stdin.read().strip("\n")
    if prompt is None and sys.stdin.isatty() and sys.stdout.isatty():
        return None
    if prompt is not None and piped:
        session.documents.append(Document("stdin", piped))
    question = piped if prompt is None else prompt
    if not question.strip():
        raise InvalidRequestError("PROMPT", question, "a question, or text from a pipe")
    return question
