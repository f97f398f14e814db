"""Where text goes and how numbers are written. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

if TYPE_CHECKING:
    from rich.table import Table

MAX_WIDTH = 110


def stdout_console() -> Console:
    """For results. At most MAX_WIDTH wide on a terminal; colour only where the stream has it."""
    return _console(stderr=False)


def stderr_console() -> Console:
    """For progress and errors, so that a pipe holds results alone."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    console.width = min(console.width, MAX_WIDTH)
    return console


def waiting(what: str, console: Console | None = None) -> Status:
    """A line on a terminal while something takes a moment, gone at its end; nothing elsewhere."""
    return (console or stderr_console()).status(escape(what))


def listing(*columns: str, folds: Collection[str], gap: int = 2) -> Table:
    """A table for a row each. In a narrow terminal the columns in `folds` break; none is cut."""
    from rich.table import Table

    table = Table(box=None, padding=(0, gap, 0, 0), header_style="dim")
    for name in columns:
        no_wrap = name not in folds
        table.add_column(name, no_wrap=no_wrap, overflow="fold", min_width=len(name))
    return table


def print_json(data: Any) -> None:
    """One JSON document on stdout and nothing else."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def show_bytes(size: float) -> str:
    """3221225472 -> "3.00 GiB"."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:.2f} {unit}" if unit == "GiB" else f"{size / scale:.0f} {unit}"
    return f"{size:.0f} B"


def show_seconds(seconds: float | None) -> str:
    """0.042 -> "42 ms", 7.31 -> "7.3 s", 292 -> "4 min 52 s"."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def show_rate(rate: float | None) -> str:
    """Tokens per second: 2.43 -> "2.4 tokens/s", 1246.9 -> "1,247 tokens/s"."""
    if rate is None:
        return "-"
    return f"{rate:,.0f} tokens/s" if rate >= 10 else f"{rate:.1f} tokens/s"
