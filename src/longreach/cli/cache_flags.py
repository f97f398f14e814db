"""The flags of every command that keeps what it read on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longreach.cli.flags import Flag
from longreach.cli.quantities import parse_bytes, parse_seconds
from longreach.config import DiskCacheConfig, default_cache_directory

_PANEL = "Disk cache"

CACHE_FLAGS = (
    Flag(
        names=("--cache-dir",),
        help="Where prompts that were read are kept for later processes; it reveals their text. "
        "Else $LONGREACH_CACHE, or ~/.cache/longreach.",
        type=Path,
        panel=_PANEL,
    ),
    Flag(
        names=("--cache-size",),
        help="Most bytes of the disk cache, of all models: 20GiB, 500MB. The longest unused go.",
        default="20GiB",
        metavar="SIZE",
        panel=_PANEL,
    ),
    Flag(
        names=("--cache-ttl",),
        help="How long after its last use a prompt is kept on disk: 7d, 12h, or never to remove.",
        default="7d",
        metavar="TIME",
        panel=_PANEL,
    ),
    Flag(
        names=("--no-disk-cache",),
        help="Keep nothing on disk, and read nothing from there.",
        type=bool,
        default=False,
        panel=_PANEL,
    ),
)


def disk_cache_of(values: Mapping[str, Any]) -> DiskCacheConfig | None:
    """What the flags say; None where they switch it off. Raises InvalidRequestError."""
    if values["no_disk_cache"]:
        return None
    return DiskCacheConfig(
        directory=values["cache_dir"] or default_cache_directory(),
        max_bytes=parse_bytes(values["cache_size"], "cache_size"),
        ttl_s=parse_seconds(values["cache_ttl"], "cache_ttl"),
    )
