"""Options that several commands share, each spelled and explained once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from longreach.cli.errors import remember_debug

MODEL_HELP = "A model: needle (shipped with longreach), a directory, or a Hugging Face id."

Model = Annotated[str, typer.Option("--model", "-m", help=MODEL_HELP)]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
Debug = Annotated[
    bool,
    typer.Option("--debug", callback=remember_debug, help="Show the traceback of an error."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Draws the documents and the needles.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Of the answer, at most.")]
Temperature = Annotated[float, typer.Option("--temperature", help="0: greedy.")]
SamplingSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Draws the same answer again.")
]
PIPE = Path("-")
TextFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        help="Use the text of this file (a PDF, an office file, any text); - is the pipe.",
        allow_dash=True,
    ),
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="auto, bfloat16, float32 or float16.", show_default=True)
]
Quantization = Annotated[
    str | None, typer.Option("--quantization", help="int8: weight-only, for a faster decode.")
]
Sparse = Annotated[
    str,
    typer.Option("--sparse", help="How long prompts are read: adaptive, fixed, or off (dense)."),
]
SparseRecall = Annotated[
    float,
    typer.Option("--sparse-recall", help="Attention mass that adaptive keeps for every head."),
]


def text_of(file: Path) -> str:
    """What is given with --file. Raises a DocumentError that names the file and says what to do."""
    from longreach.documents import read_text

    if file == PIPE:
        return read_text(sys.stdin.buffer.read(), name="the piped text")
    return read_text(file)
