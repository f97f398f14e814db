"""Files of the disk cache: private, whole or not there, read into many buffers at once."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

Buffers = Sequence[memoryview]

DRAFT = ".draft"
DRAFT_LIFE_S = 60.0
"""A draft that nobody has touched for so long was left by a process that died."""
_MAX_BUFFERS = 512
"""Of one system call; every system allows this many."""
_DIRECTORY, _FILE = 0o700, 0o600


def make_private(directory: Path) -> None:
    """The directory, for its owner alone. Raises OSError."""
    directory.mkdir(mode=_DIRECTORY, parents=True, exist_ok=True)


def write_file(path: Path, buffers: Iterable[memoryview | bytes]) -> None:
    """Write a file whole or not at all: a draft, synced, then renamed; then the directory synced.

    Raises OSError, with no draft left behind.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{DRAFT}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
    try:
        try:
            write_all(handle, [memoryview(buffer) for buffer in buffers])
            os.fsync(handle)
        finally:
            os.close(handle)
        draft.rename(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    sync_directory(path.parent)


def write_all(handle: int, buffers: Buffers) -> None:
    """Every byte of the buffers, however few the system takes at a time."""
    for batch in _batches(buffers):
        left = batch
        while left:
            left = _after(left, os.writev(handle, left))


def read_all(handle: int, buffers: Buffers, offset: int) -> int:
    """Fill the buffers from `offset` on; bytes read, fewer than wanted where the file ends."""
    num_read = 0
    for batch in _batches(buffers):
        left = batch
        while left:
            count = os.preadv(handle, left, offset + num_read)
            if not count:
                return num_read
            num_read += count
            left = _after(left, count)
    return num_read


def _batches(buffers: Buffers) -> Iterator[list[memoryview]]:
    full = [buffer for buffer in buffers if buffer.nbytes]
    for at in range(0, len(full), _MAX_BUFFERS):
        yield full[at : at + _MAX_BUFFERS]


def _after(buffers: list[memoryview], count: int) -> list[memoryview]:
    """What is left of the buffers after their first `count` bytes."""
    for at, buffer in enumerate(buffers):
        if count < buffer.nbytes:
            return [buffer[count:], *buffers[at + 1 :]]
        count -= buffer.nbytes
    return []


def sync_directory(directory: Path) -> None:
    """Make names in it durable; where directories cannot be synced, the system does it later."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_file(path: Path, why: str = "") -> None:
    """Remove a file that may be gone already; `why` goes to the log."""
    if why:
        logger.warning("disk cache: removed %s: %s", path, why)
    with suppress(OSError):
        path.unlink()


def remove_drafts(directory: Path) -> int:
    """Remove what dead writers left; how many."""
    count = 0
    with suppress(OSError):
        for path in directory.glob(f"*{DRAFT}"):
            if time.time() - path.stat().st_mtime > DRAFT_LIFE_S:
                path.unlink()
                count += 1
    return count
