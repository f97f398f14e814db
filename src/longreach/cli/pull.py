"""`longreach pull ID`."""

from __future__ import annotations

from typing import Annotated

import typer

from longreach.cli.options import Debug
from longreach.cli.terminal import stdout_console


def pull(
    model: Annotated[str, typer.Argument(metavar="ID", help="owner/name on the hub.")],
    source: Annotated[str, typer.Option("--source", help="huggingface or modelscope.")] = (
        "huggingface"
    ),
    revision: Annotated[str | None, typer.Option("--revision", help="A branch or commit.")] = None,
    debug: Debug = False,
) -> None:
    """Download a model into the hub's cache; other commands then take its id.

    config.json is checked first, then the room on the disk.

    Honours the variables of the hubs' own tools: HF_TOKEN, HF_HOME, MODELSCOPE_CACHE ...

    [bold]Examples[/bold]

      longreach pull Qwen/Qwen2.5-7B-Instruct-1M

      longreach pull Qwen/Qwen2.5-7B-Instruct-1M --source modelscope
    """
    from longreach.models import pull as download

    folder = download.pull(model, source=source, revision=revision)  # type: ignore[arg-type]
    stdout_console().print(str(folder), markup=False, soft_wrap=True)
