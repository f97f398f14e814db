"""`longreach cache`: what is kept on disk, and its care."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longreach.cli.cache_view import entry_data, entry_lines, entry_table
from longreach.cli.help import App
from longreach.cli.options import Debug, Json
from longreach.cli.quantities import parse_bytes, parse_seconds
from longreach.cli.terminal import print_json, show_bytes, stdout_console

if TYPE_CHECKING:
    from longreach.cache.disk.upkeep import CacheDirectory

app = App(
    no_args_is_help=True,
    help="Prompts that were read and are kept on disk: list, pin, verify, remove.",
)
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Else $LONGREACH_CACHE, or ~/.cache/longreach."),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it: id, or label.")]


@app.command("list")
def list_entries(cache_dir: CacheDir = None, json: Json = False, debug: Debug = False) -> None:
    """List what is kept, what was used last first.

    [bold]Examples[/bold]

      longreach cache list
    """
    directory = open_directory(cache_dir)
    entries = directory.entries()
    if json:
        print_json([entry_data(entry) for entry in entries])
        return
    stdout_console().print(entry_table(entries, time.time()))
    stdout_console().print(f"{show_bytes(directory.num_bytes)} in all")


@app.command("show")
def show(
    entry_id: Id, cache_dir: CacheDir = None, json: Json = False, debug: Debug = False
) -> None:
    """Show one of them: how it was read, its files, its pins.

    [bold]Examples[/bold]

      longreach cache show book.pdf
    """
    entry = open_directory(cache_dir).find(entry_id)
    if json:
        print_json(entry_data(entry))
        return
    for line in entry_lines(entry, time.time()):
        stdout_console().print(line, markup=False, soft_wrap=True)


@app.command("pin")
def pin(
    entry_id: Id,
    ttl: Annotated[str, typer.Option("--ttl", help="7d, 12h, or never to end.")] = "never",
    label: Annotated[str, typer.Option("--label", help="A name for it.")] = "",
    cache_dir: CacheDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Keep one of them, whatever else there is no room for.

    [bold]Examples[/bold]

      longreach cache pin 3f9a --ttl 30d --label "annual report"
    """
    directory = open_directory(cache_dir)
    entry = directory.find(entry_id)
    directory.pin(entry, ttl_s=parse_seconds(ttl, "ttl"), label=label)
    _tell(entry_data(directory.find(entry.id)), f"pinned {entry.id}", json=json)


@app.command("unpin")
def unpin(
    entry_id: Id, cache_dir: CacheDir = None, json: Json = False, debug: Debug = False
) -> None:
    """End the pins of one of them: it goes when it is the longest unused.

    [bold]Examples[/bold]

      longreach cache unpin book.pdf
    """
    directory = open_directory(cache_dir)
    entry = directory.find(entry_id)
    count = directory.unpin(entry)
    _tell(entry_data(directory.find(entry.id)), f"{count} pins of {entry.id} ended", json=json)


@app.command("rm")
def remove(
    entry_id: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cache_dir: CacheDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove one of them from the disk, with its pins.

    [bold]Examples[/bold]

      longreach cache rm 3f9a --yes
    """
    directory = open_directory(cache_dir)
    entry = directory.find(entry_id)
    what = f"{entry.label or entry.id} ({entry.num_tokens:,} tokens)"
    if not yes and not typer.confirm(f"remove {what}?"):
        return
    size = directory.remove(entry)
    _tell({"id": entry.id, "bytes": size}, f"removed {what}: {show_bytes(size)}", json=json)


@app.command("verify")
def verify(cache_dir: CacheDir = None, json: Json = False, debug: Debug = False) -> None:
    """Read every file and compare checksums; broken ones are removed. Exit code 1 if any were.

    [bold]Examples[/bold]

      longreach cache verify
    """
    count, reasons = open_directory(cache_dir).verify()
    text = "\n".join([*reasons, f"{count} files are sound, {len(reasons)} were removed"])
    _tell({"sound": count, "removed": reasons}, text, json=json)
    if reasons:
        raise typer.Exit(1)


@app.command("gc")
def collect(
    cache_dir: CacheDir = None,
    cache_size: Annotated[str, typer.Option("--cache-size", help="Most bytes to keep.")] = "20GiB",
    cache_ttl: Annotated[
        str, typer.Option("--cache-ttl", help="Keep what was used since: 7d, 12h, never: all.")
    ] = "7d",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove what is too old, too much, half written or out of reach. Pins stay.

    [bold]Examples[/bold]

      longreach cache gc --cache-size 5GiB
    """
    directory = open_directory(cache_dir, size=cache_size, ttl=cache_ttl)
    swept = directory.sweep()
    text = f"removed {swept.num_files} files, {show_bytes(swept.num_bytes)}"
    _tell(asdict(swept), text, json=json)


def open_directory(
    cache_dir: Path | None, *, size: str = "20GiB", ttl: str = "7d"
) -> CacheDirectory:
    """The directory of the options. Raises InvalidRequestError."""
    from longreach.cache.disk.upkeep import CacheDirectory
    from longreach.config import DiskCacheConfig, default_cache_directory

    return CacheDirectory(
        DiskCacheConfig(
            directory=cache_dir or default_cache_directory(),
            max_bytes=parse_bytes(size, "cache_size"),
            ttl_s=parse_seconds(ttl, "cache_ttl"),
        )
    )


def _tell(data: dict[str, Any], text: str, *, json: bool) -> None:
    if json:
        print_json(data)
    else:
        stdout_console().print(text, markup=False, soft_wrap=True)
