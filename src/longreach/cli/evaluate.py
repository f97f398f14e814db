"""`longreach eval needle` and `longreach eval passkey`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longreach.cli.help import App
from longreach.cli.options import Debug, DtypeOption, Model, Seed, Sparse, SparseRecall
from longreach.cli.outputs import output_file

DEFAULT_LENGTHS = "4K,32K,128K"


def _picture_file(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """Callback of --plot: whether the picture can be drawn, before hours of questions."""
    if path is not None:
        from longreach.evals.plot import require_format

        require_format(path, param.name or "")
    return output_file(param, path)


Lengths = Annotated[
    str, typer.Option("--lengths", "-n", help="Prompt lengths: 4K,32K,128K,1M (128K is 131,072).")
]
Questions = Annotated[
    int | None,
    typer.Option("--questions", min=1, help="Per length, else 100 up to 32K, 40 up to 128K, 50."),
]
Keys = Annotated[int, typer.Option("--questions", min=1, help="Per length, each in a new text.")]
Documents = Annotated[
    int | None,
    typer.Option("--documents", min=1, help="Per length; questions share a document in turn."),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        callback=_picture_file,
        help="Write a heat map, length by depth (.png, .svg).",
    ),
]
SaveTo = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=output_file,
        help="Keep every answer in this file; the same command goes on where it was.",
    ),
]
NoDca = Annotated[
    bool, typer.Option("--no-dca", help="Run the same weights with plain rotary attention.")
]

app = App(
    no_args_is_help=True,
    help="Measure how well a model finds facts in long texts.",
)


@app.command("needle")
def needle(
    model: Model = "needle",
    lengths: Lengths = DEFAULT_LENGTHS,
    questions: Questions = None,
    documents: Documents = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            help="Some, separated by commas, of passkey, single, number-key, hex-key, word-value, "
            "multi-value, multi-query. Else all but hex-key.",
        ),
    ] = None,
    haystack: Annotated[
        str, typer.Option("--haystack", help="real, pages (real, with page numbers) or repeated.")
    ] = "real",
    sparse: Sparse = "adaptive",
    sparse_recall: SparseRecall = 0.95,
    no_dca: NoDca = False,
    dtype: DtypeOption = "auto",
    seed: Seed = 0,
    plot: Plot = None,
    json: SaveTo = None,
    debug: Debug = False,
) -> None:
    """Task by length and depth by length, with 95 % intervals.

    A document hides several facts and is asked for them in turn; it is read once.

    [bold]Examples[/bold]

      longreach eval needle --lengths 4K,32K

      longreach eval needle --lengths 128K,1M --json 1m.json --plot 1m.png

      longreach eval needle --lengths 16K,64K --no-dca

      longreach eval needle --lengths 128K --sparse off --questions 8
    """
    from longreach.cli.evaluation import Choices, evaluate
    from longreach.evals.needle import DEFAULT_KINDS

    choices = Choices(
        task="needle",
        model=model,
        lengths=lengths,
        questions=questions,
        documents=documents,
        kinds=tuple(kinds.replace("-", "_").split(",")) if kinds else DEFAULT_KINDS,
        haystack=haystack,
        sparse=sparse,
        sparse_recall=sparse_recall,
        dca=not no_dca,
        dtype=dtype,
        seed=seed,
    )
    evaluate(choices, save_to=json, plot=plot)


@app.command("passkey")
def passkey(
    model: Model = "needle",
    lengths: Lengths = DEFAULT_LENGTHS,
    questions: Keys = 10,
    sparse: Sparse = "adaptive",
    sparse_recall: SparseRecall = 0.95,
    no_dca: NoDca = False,
    dtype: DtypeOption = "auto",
    seed: Seed = 0,
    plot: Plot = None,
    json: SaveTo = None,
    debug: Debug = False,
) -> None:
    """The pass key test: one key in a text of repeated sentences, a new text for every question.

    Depths are spread evenly over the text.

    [bold]Examples[/bold]

      longreach eval passkey --lengths 4K,32K,128K

      longreach eval passkey --lengths 1M --questions 2
    """
    from longreach.cli.evaluation import Choices, evaluate

    choices = Choices(
        task="passkey",
        model=model,
        lengths=lengths,
        questions=questions,
        documents=questions,
        kinds=("passkey",),
        haystack="repeated",
        sparse=sparse,
        sparse_recall=sparse_recall,
        dca=not no_dca,
        dtype=dtype,
        seed=seed,
    )
    evaluate(choices, save_to=json, plot=plot)
