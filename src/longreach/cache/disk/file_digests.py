"""Digests of large files, remembered for as long as a file stays as it is."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from longreach.cache.disk.files import make_private, write_file

logger = logging.getLogger(__name__)

MANY_BYTES = 2**30
_THREADS = 4
_Memo = dict[str, dict[str, str]]


class FileDigests:
    """SHA-256 of files by path, size, time of change and inode; remembered in `memo`."""

    def __init__(self, memo: Path) -> None:
        self._memo = memo

    def digest(self, paths: Iterable[Path]) -> bytes:
        """One digest of the content of all files, in the order of their paths.

        Reads a file once; later calls, also of later processes, trust what the file system says of
        it. Raises OSError for a file that cannot be read.
        """
        files = [path.resolve() for path in sorted(paths)]
        known = self._load()
        stamps = {path: _stamp(path) for path in files}
        new = [path for path in files if known.get(str(path), {}).get("stamp") != stamps[path]]
        num_bytes = sum(path.stat().st_size for path in new)
        if num_bytes > MANY_BYTES:
            logger.info("disk cache: naming the weights, once: %.1f GB", num_bytes / 1e9)
        with ThreadPoolExecutor(_THREADS) as pool:
            for path, name in zip(new, pool.map(_sha256, new), strict=True):
                known[str(path)] = {"stamp": stamps[path], "sha256": name}
        if new:
            self._save(known)
        return hashlib.sha256("\n".join(known[str(p)]["sha256"] for p in files).encode()).digest()

    def _load(self) -> _Memo:
        """Nothing where there is no memo, or none that can be read: files are then read anew."""
        with suppress(OSError, ValueError):
            known = json.loads(self._memo.read_text(encoding="utf-8"))
            if isinstance(known, dict) and all(isinstance(v, dict) for v in known.values()):
                return known
        return {}

    def _save(self, known: _Memo) -> None:
        with suppress(OSError):
            make_private(self._memo.parent)
            write_file(self._memo, [json.dumps(known).encode()])


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
