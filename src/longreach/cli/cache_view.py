"""How prefixes on disk are shown: as a table, as lines, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from longreach.cli.models import show_age
from longreach.cli.terminal import listing, show_bytes, show_seconds

if TYPE_CHECKING:
    from rich.table import Table

    from longreach.cache.disk.entries import Entry


def entry_table(entries: Sequence[Entry], now_s: float) -> Table:
    """One row for each."""
    columns = ("ID", "MODEL", "TOKENS", "SIZE", "AGE", "USED", "PINNED", "LABEL")
    table = listing(*columns, folds=("MODEL", "LABEL"), gap=1)
    for entry in entries:
        table.add_row(
            entry.id,
            entry.model,
            f"{entry.num_tokens:,}",
            show_bytes(entry.num_bytes),
            short_age(now_s - entry.created_s),
            short_age(now_s - entry.used_s),
            pinned_for(entry, now_s, short_age),
            entry.label,
        )
    return table


def short_age(seconds: float) -> str:
    """90000 -> "1d"; under a minute is "now"."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "now"


def entry_lines(entry: Entry, now_s: float) -> Iterator[str]:
    """Everything about one."""
    yield f"id        {entry.digests[-1].hex()}"
    yield f"model     {entry.model}"
    yield f"label     {entry.label or '-'}"
    yield f"tokens    {entry.num_tokens:,}"
    yield f"size      {show_bytes(entry.num_bytes)} in {len(entry.own)} files"
    yield f"read      {', '.join(entry.modes)}"
    yield f"branches  {entry.num_branches}"
    yield f"created   {show_age(now_s - entry.created_s)}"
    yield f"used      {show_age(now_s - entry.used_s)}"
    yield f"pinned    {pinned_for(entry, now_s)}"
    yield f"folder    {entry.chain[0].path.parent}"


def entry_data(entry: Entry) -> dict[str, Any]:
    """For --json. Times are Unix times."""
    return {
        "id": entry.id,
        "model": entry.model,
        "label": entry.label,
        "tokens": entry.num_tokens,
        "bytes": entry.num_bytes,
        "files": len(entry.own),
        "modes": list(entry.modes),
        "branches": entry.num_branches,
        "created": entry.created_s,
        "used": entry.used_s,
        "pinned": bool(entry.pins),
        "pinned_until": _until(entry),
    }


def pinned_for(entry: Entry, now_s: float, written: Callable[[float], str] = show_seconds) -> str:
    """How long it stays, for people."""
    if not entry.pins:
        return "-"
    end_s = _until(entry)
    return "for ever" if end_s is None else written(end_s - now_s)


def _until(entry: Entry) -> float | None:
    ends = [pin.expires_s for pin in entry.pins]
    return None if None in ends else max((end for end in ends if end is not None), default=None)
