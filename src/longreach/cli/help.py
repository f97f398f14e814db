"""What --help prints: names of flags are whole, however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from longreach.cli.errors import Commands
from longreach.cli.terminal import stdout_console

Function = TypeVar("Function", bound=Callable[..., Any])

NAMES_WIDTH = 36
"""Of the column of names, at most; the longest name has to fit."""


class Command(TyperCommand):
    """A command with this help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it."""
        show_help(self, ctx)


class Group(Commands):
    """A group with this help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print it."""
        show_help(self, ctx)


class App(typer.Typer):
    """A group of commands; all of them, and those of its groups, have this help."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=Group, rich_markup_mode="rich", **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """See typer."""
        return super().command(name, cls=Command, **options)


def show_help(command: Any, ctx: Any) -> None:
    """Usage, what it does, arguments, flags by panel, commands."""
    console = stdout_console()
    console.print(Padding(Text(command.get_usage(ctx), style="bold"), (1, 1)))
    console.print(Padding(Text.from_markup(paragraphs(command.help or "")), (0, 1, 1, 1)))
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
        record = parameter.get_help_record(ctx)
        if record is not None:
            panels.setdefault(parameter.rich_help_panel or usual, []).append(record)
    for name, rows in panels.items():
        show_panel(console, name, rows)
    if isinstance(command, Group):
        names = command.list_commands(ctx)
        rows = [(name, command.commands[name].get_short_help_str(200)) for name in names]
        show_panel(console, "Commands", rows)


def show_panel(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Names on the left, broken between names only, and what they mean."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    names = [Text(name, style="bold cyan") for name, _ in rows]
    if not names:
        return
    widest = max(name.cell_len for name in names)
    longest = max(len(word) for name in names for word in name.plain.split())
    table.add_column(width=max(longest, min(widest, NAMES_WIDTH)))
    table.add_column(ratio=1, overflow="fold")
    for name, (_, text) in zip(names, rows, strict=True):
        table.add_row(name, Text(text))
    console.print(Panel(table, title=title, title_align="left", border_style="dim"))


def paragraphs(text: str) -> str:
    """A docstring with a line for each paragraph; indented ones keep their indentation."""
    blocks = (block.strip("\n") for block in text.split("\n\n"))
    lines = ((block, " ".join(block.split())) for block in blocks)
    return "\n\n".join(line.rjust(len(line) + len(b) - len(b.lstrip())) for b, line in lines)
