"""`longreach version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Annotated

import typer

from longreach import __version__
from longreach.cli.options import Debug
from longreach.cli.terminal import stdout_console

SHOWN = ("torch", "numpy", "safetensors", "tokenizers")


def _show_first(value: bool) -> None:
    """Callback of --version."""
    if value:
        stdout_console().print(f"longreach {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", is_eager=True, callback=_show_first, help="Show the version."),
]


def version(debug: Debug = False) -> None:
    """Show the versions of longreach, Python and what longreach runs on.

    Example: longreach version
    """
    out = stdout_console()
    out.print(f"longreach {__version__}")
    out.print(f"python {platform.python_version()} on {platform.machine()}")
    for name in SHOWN:
        out.print(f"{name} {_installed(name)}")


def _installed(name: str) -> str:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return "not installed"
