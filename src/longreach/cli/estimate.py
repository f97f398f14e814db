"""`longreach estimate MODEL --tokens N`."""

from __future__ import annotations

from typing import Annotated

import typer

from longreach.cli.options import Debug, DtypeOption, Json, ModelArgument, Quantization, Sparse


def estimate(
    model: ModelArgument = "needle",
    tokens: Annotated[
        str, typer.Option("--tokens", "-n", help="Length of the prompt: 128K, 1M, ...")
    ] = "128K",
    dtype: DtypeOption = "auto",
    quantization: Quantization = None,
    sparse: Sparse = "adaptive",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what reading so many tokens would take here: memory by part, and time.

    Time is predicted from a short calibration. No weight is loaded.

    [bold]Examples[/bold]

      longreach estimate needle --tokens 1M

      longreach estimate Qwen/Qwen2.5-7B-Instruct-1M --tokens 256K
    """
    raise AssertionError
