"""`longreach ask FILE... QUESTION`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longreach.cli.ask.settings import AskSettings, OverLength
from longreach.cli.cache_flags import CACHE_FLAGS, disk_cache_of
from longreach.cli.flags import with_flags
from longreach.cli.options import (
    Debug,
    DtypeOption,
    Json,
    MaxTokens,
    Model,
    Quantization,
    SamplingSeed,
    Sparse,
    SparseRecall,
    Temperature,
)
from longreach.cli.quantities import parse_seconds
from longreach.cli.terminal import waiting
from longreach.errors import InvalidRequestError

if TYPE_CHECKING:
    from longreach.cli.ask.arguments import Asked
    from longreach.cli.ask.asker import Asker
    from longreach.cli.chat.screen import Screen
    from longreach.documents.collection import Collection

MAX_MODEL_LEN_HELP = "Most tokens of a prompt and its answer: 32K, 1M, or auto."


@with_flags(CACHE_FLAGS)
def ask(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Files, folders or patterns.")
    ] = None,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What is asked of them.")
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask question after question.")
    ] = False,
    model: Model = "needle",
    max_tokens: MaxTokens = 512,
    temperature: Temperature = 0.0,
    seed: SamplingSeed = None,
    over_length: Annotated[
        OverLength | None,
        typer.Option(
            "--over-length",
            help="For documents beyond the window: search answers from the pages that speak of "
            "the question, map-reduce reads all in parts. Else you are asked, or it is an error.",
        ),
    ] = None,
    pin: Annotated[
        str | None,
        typer.Option(
            "--pin",
            metavar="TIME",
            help="Keep the documents cached for so long: 7d, 12h; never: until they are unpinned.",
        ),
    ] = None,
    max_model_len: Annotated[
        str, typer.Option("--max-model-len", help=MAX_MODEL_LEN_HELP)
    ] = "auto",
    sparse: Sparse = "adaptive",
    sparse_recall: SparseRecall = 0.95,
    dtype: DtypeOption = "auto",
    quantization: Quantization = None,
    json: Json = False,
    debug: Debug = False,
    **values: Any,
) -> None:
    """Ask about documents: PDF, Office files, web pages, EPUB, text, code, whole folders.

    The answer comes with the pages it stands on. A quote is verified on its page, word for word;
    an answer without a quote is found in the documents. What was read is kept on disk, so the next
    question is answered at once, today or tomorrow.

    [bold]Examples[/bold]

      longreach ask book.pdf "What is the pass key?"

      longreach ask contract.docx annex/*.pdf "Which notice period applies?" --json

      longreach ask src/ -i --model Qwen/Qwen2.5-7B-Instruct-1M

      longreach ask archive/ "Who signed in 2019?" --over-length search --pin 30d
    """
    from longreach.cli.ask.arguments import parse_words
    from longreach.cli.ask.asker import Asker
    from longreach.cli.chat.screen import Screen
    from longreach.cli.engine import load_llm

    disk_cache = disk_cache_of(values)
    if pin is not None and disk_cache is None:
        raise InvalidRequestError("pin", pin, "a disk cache: without it nothing outlasts this run")
    words = [*(files or ()), *filter(None, [question])]
    asked = parse_words(words, is_session=interactive)
    settings = AskSettings(
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        over_length=over_length,
        pins=pin is not None,
        pin_s=None if pin is None else parse_seconds(pin, "pin"),
    )
    options = {
        "sparse": sparse,
        "sparse_recall": sparse_recall,
        "dtype": dtype,
        "quantization": quantization,
        "max_model_len": _length(max_model_len),
        "disk_cache": disk_cache,
    }
    screen = Screen()
    timings: dict[str, float] = {}
    with _timed(timings, "documents_s"):
        collection = read_collection(asked, screen)
    with _timed(timings, "load_s"):
        llm = load_llm(model, **options)
    try:
        asker = Asker(llm=llm, documents=collection.documents, settings=settings)
        if asked.question is None:
            hold_session(asker, screen)
        else:
            answer_once(asker, screen, asked.question, timings, as_json=json)
    finally:
        llm.close()


def read_collection(asked: Asked, screen: Screen) -> Collection:
    """The documents, named on the screen. Raises DocumentError."""
    from longreach.cli.ask.show import documents_line
    from longreach.documents import read_paths

    with waiting("reading files", screen.err):
        collection = read_paths(asked.paths)
    screen.note(documents_line(collection.documents, collection.skipped))
    return collection


def answer_once(
    asker: Asker, screen: Screen, question: str, timings: dict[str, float], *, as_json: bool
) -> None:
    """One question: to the screen, or as one JSON document."""
    from longreach.cli.ask.answers import as_data
    from longreach.cli.ask.asking import ask_question
    from longreach.cli.ask.show import show_answer
    from longreach.cli.ask.view import TerminalView
    from longreach.cli.terminal import print_json

    is_asked = sys.stdin.isatty() and screen.err.is_terminal and not as_json
    view = TerminalView(
        screen, has_text=not as_json, read_line=screen.err.input if is_asked else None
    )
    with _timed(timings, "answer_s"):
        answer = ask_question(asker, question, view)
    if as_json:
        print_json(as_data(answer, model=asker.llm.model, timings=timings))
    else:
        show_answer(screen.out, screen.err, answer)


def hold_session(asker: Asker, screen: Screen) -> None:
    """Ask and answer until the person leaves, or the pipe ends."""
    from longreach.cli.ask.session import DocumentSession
    from longreach.cli.ask.view import TerminalView

    view = TerminalView(screen, read_line=screen.err.input if sys.stdin.isatty() else None)
    session = DocumentSession(asker=asker, view=view, screen=screen)
    if sys.stdin.isatty():
        screen.note("/help lists the commands, Ctrl-D leaves")
        session.run(_line_reader(session.meter))
    else:
        session.run(_piped_line)


def _line_reader(meter: Callable[[], str]) -> Callable[[], str]:
    from longreach.cli.ask.session import COMMANDS
    from longreach.errors import LongreachError

    try:
        from prompt_toolkit.completion import WordCompleter

        from longreach.cli.chat.prompt import line_reader
    except ImportError as error:
        raise LongreachError("a session needs `pip install 'longreach[chat]'`") from error
    names = WordCompleter([f"/{name}" for name in COMMANDS], sentence=True)
    return line_reader(meter, completer=names)


def _piped_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _length(text: str) -> int | str:
    """Tokens of "32K"; auto stays as it is."""
    from longreach.evals.lengths import parse_length

    return text if text == "auto" else parse_length(text, "max_model_len")


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Note the seconds that the block takes."""
    began_s = time.perf_counter()
    yield
    timings[name] = time.perf_counter() - began_s
