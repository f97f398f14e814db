"""`longreach demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from longreach.cli.options import Debug, DtypeOption, Json, Model, Seed, Sparse, TextFile, text_of
from longreach.cli.terminal import print_json, stderr_console, stdout_console

DEFAULT_TOKENS = "128K"


def demo(
    tokens: Annotated[
        str | None,
        typer.Option(
            "--tokens",
            "-n",
            help="128K is 131,072 tokens, 1M is 1,000,000. Else 128K, or all of --file.",
        ),
    ] = None,
    file: TextFile = None,
    model: Model = "needle",
    sparse: Sparse = "adaptive",
    dtype: DtypeOption = "auto",
    seed: Seed = 0,
    dense: Annotated[
        bool, typer.Option("--dense/--no-dense", help="Measure what dense attention would cost.")
    ] = True,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Hide facts in a long real text, read it on this machine, and ask for them.

    The text is Python's own library (files the small model never saw), or yours.

    The second question is answered from the cached text.

    [bold]Examples[/bold]

      longreach demo

      longreach demo --tokens 1M

      longreach demo --file book.txt

      longreach demo --tokens 32K --json
    """
    from longreach.cli.demo_view import TerminalView, show_result
    from longreach.cli.engine import open_reader
    from longreach.evals.demo import run_demo
    from longreach.evals.lengths import parse_length

    text = text_of(file) if file else None
    out = stderr_console() if json else stdout_console()
    wanted = parse_length(tokens or DEFAULT_TOKENS)
    if tokens is None and text is not None:
        wanted = _length_of(text, model)
    opened = open_reader(model, max_tokens=wanted, sparse=sparse, dtype=dtype)
    view = TerminalView(out, model, opened.recall_now)
    try:
        result = run_demo(
            opened.reader, view, tokens=wanted, text=text, seed=seed, measure_dense=dense
        )
    finally:
        view.close()
    if json:
        print_json(result.as_json())
    else:
        show_result(out, result)


def _length_of(text: str, model: str) -> int:
    """Tokens of a prompt that holds the whole text once, with its needles and a question."""
    from longreach.cli.engine import count_tokens
    from longreach.evals.plan import ASSISTANT_ROOM

    return count_tokens(model, text) + 2 * ASSISTANT_ROOM
