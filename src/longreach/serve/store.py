"""What the server keeps beyond a request, in one SQLite file: whose it is, and until when.

Every look-up names an owner, so that what belongs to another key is not found, as if it were not
there.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

FILE_NAME = "longreach.sqlite3"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    expires REAL NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_by_expiry ON objects (expires);
"""
_PUT = """
INSERT INTO objects VALUES (?, ?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET expires = excluded.expires, data = excluded.data
WHERE owner = excluded.owner
"""
_GET = "SELECT data FROM objects WHERE kind = ? AND id = ? AND owner = ? AND expires > ?"
_DELETE = "DELETE FROM objects WHERE kind = ? AND id = ? AND owner = ? AND expires > ?"
_PURGE = "DELETE FROM objects WHERE expires <= ?"


class ObjectStore:
    """Bytes by kind and id, each with an owner and an end. Safe to use from several threads.

    directory: where the file lies; None keeps everything in memory. ttl_s: how long things are
    kept. clock: Unix time. Calls block for a disk's time: use them in a thread.
    """

    def __init__(
        self, directory: Path | None, *, ttl_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def put(self, kind: str, key: str, owner: str, data: bytes) -> None:
        """Keep something from now on for `ttl_s`, in place of what this owner had there."""
        now = self._clock()
        with self._lock, self._database as database:
            database.execute(_PURGE, (now,))
            database.execute(_PUT, (kind, key, owner, now + self._ttl_s, data))

    def get(self, kind: str, key: str, owner: str) -> bytes | None:
        """What this owner keeps there; None where there is nothing, or nothing any more."""
        with self._lock:
            row = self._database.execute(_GET, (kind, key, owner, self._clock())).fetchone()
        return None if row is None else row[0]

    def delete(self, kind: str, key: str, owner: str) -> bool:
        """Forget it. False where this owner has nothing there."""
        with self._lock, self._database as database:
            return database.execute(_DELETE, (kind, key, owner, self._clock())).rowcount > 0

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @property
    def _database(self) -> sqlite3.Connection:
        """Opened at the first use, which is in a thread that may wait for a disk."""
        if self._opened is None:
            self._opened = sqlite3.connect(self._place(), check_same_thread=False)
            # Readers of the file (a backup, another tool) never make a request wait.
            self._opened.execute("PRAGMA journal_mode = WAL")
            self._opened.execute("PRAGMA synchronous = NORMAL")
            self._opened.executescript(_SCHEMA)
        return self._opened

    def _place(self) -> str | Path:
        if self._directory is None:
            return ":memory:"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._directory / FILE_NAME
