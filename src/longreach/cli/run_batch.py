"""`longreach run-batch`."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from longreach.cli.flags import with_flags
from longreach.cli.options import MODEL_HELP, Debug
from longreach.cli.outputs import require_writable
from longreach.cli.serve_flags import MODEL_FLAGS, SERVE_FLAGS, SPEED_FLAGS
from longreach.cli.terminal import stderr_console, waiting
from longreach.errors import InvalidRequestError

if TYPE_CHECKING:
    from longreach.serve.batches.offline import BatchCounts, Report

STANDARD = "-"

InputFile = Annotated[
    str, typer.Option("--input-file", "-i", help="Requests, one JSON object a line; -: stdin.")
]
OutputFile = Annotated[
    str, typer.Option("--output-file", "-o", help="Answers, as they come; -: stdout, at the end.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an output file: what it answers is kept.")
]


_HELP = {
    "model": f"{MODEL_HELP} Else needle.",
    "served_model_name": "The name that requests use; several times: several names. Else --model.",
}
FLAGS = [replace(f, help=_HELP.get(f.name, f.help)) for f in (*MODEL_FLAGS, *SPEED_FLAGS)]
"""Those of serve, which has the model as an argument, too."""


@with_flags(FLAGS)
def run_batch(
    input_file: InputFile,
    output_file: OutputFile,
    resume: Resume = False,
    debug: Debug = False,
    **values: Any,
) -> None:
    """Answer a file of requests, in the format of OpenAI's Batch API, without a server.

    Requests that begin with the same text run together, so that it is read once.

    [bold]Examples[/bold]

      longreach run-batch -i requests.jsonl -o answers.jsonl

      longreach run-batch -i requests.jsonl -o answers.jsonl --resume

      cat requests.jsonl | longreach run-batch -i - -o - --model ./Qwen2.5-7B-Instruct-1M
    """
    status = stderr_console()
    with _input(input_file) as source, _output(output_file, resume=resume) as output:
        counts = answer_file(source, output, values)
    status.print(f"{counts.num_completed} answered, {counts.num_failed} failed")


def answer_file(source: Path, output: Path, values: Mapping[str, Any]) -> BatchCounts:
    """Load the model that the flags name, and run the file. The heavy part of the command."""
    from longreach.cli.serve import load_engine, model_and_length, server_settings
    from longreach.models.registry import resolve_model
    from longreach.serve.batches.offline import check_lines, run_file

    check_lines(source)  # before a model is loaded for nothing
    model, length = model_and_length(values["model"], values["max_model_len"])
    usual = {flag.name: [] if flag.many else flag.default for flag in SERVE_FLAGS}
    settings = server_settings(model, resolve_model(model), {**usual, **values})
    with waiting(f"loading {model}"):
        engine = load_engine(model, length, values)
    try:
        with _progress() as report:
            return asyncio.run(run_file(engine, settings, source, output, report=report))
    finally:
        engine.close()


@contextmanager
def _input(name: str) -> Iterator[Path]:
    """The file, or a copy of stdin: lines are read again when their turn comes."""
    if name != STANDARD:
        if not Path(name).is_file():
            raise InvalidRequestError("input-file", name, "a file that exists")
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "requests.jsonl")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


@contextmanager
def _output(name: str, *, resume: bool) -> Iterator[Path]:
    """The file, or one that goes to stdout at the end."""
    if name != STANDARD:
        path = Path(name)
        if path.exists() and path.stat().st_size and not resume:
            expected = "a new file; --resume goes on with one that is there"
            raise InvalidRequestError("output-file", name, expected)
        require_writable("output-file", path)
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answers.jsonl")
        yield path
        sys.stdout.write(path.read_text(encoding="utf-8"))


@contextmanager
def _progress() -> Iterator[Report]:
    """A bar on a terminal, nothing elsewhere."""
    console = stderr_console()
    bar = Progress(
        TextColumn("answering"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("")
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)
