"""What the server keeps beyond a request: whose it is, and until when.

Every look-up names an owner, so that what belongs to another key is not found, as if it were not
there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from longreach.serve.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    expires REAL NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX IF NOT EXISTS objects_by_expiry ON objects (expires);
"""
_PUT = """
INSERT INTO objects VALUES (?, ?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET expires = excluded.expires, data = excluded.data
WHERE owner = excluded.owner
"""
_GET = "SELECT data FROM objects WHERE kind = ? AND id = ? AND owner = ? AND expires > ?"
_DELETE = """
DELETE FROM objects WHERE kind = ? AND id = ? AND owner = ? AND expires > ? RETURNING id
"""
_PURGE = "DELETE FROM objects WHERE expires <= ?"


class ObjectStore:
    """Bytes by kind and id, each with an owner and an end. Safe to use from several threads.

    path: of its file. ttl_s: how long things are kept. clock: Unix time. Calls block for a disk's
    time: use them in a thread.
    """

    def __init__(self, path: Path, *, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(path, _SCHEMA)
        self._ttl_s = ttl_s
        self._clock = clock

    def put(self, kind: str, key: str, owner: str, data: bytes) -> None:
        """Keep something from now on for `ttl_s`, in place of what this owner had there."""
        now = self._clock()
        self._database.run(_PURGE, (now,))
        self._database.run(_PUT, (kind, key, owner, now + self._ttl_s, data))

    def get(self, kind: str, key: str, owner: str) -> bytes | None:
        """What this owner keeps there; None where there is nothing, or nothing any more."""
        rows = self._database.run(_GET, (kind, key, owner, self._clock()))
        return rows[0]["data"] if rows else None

    def delete(self, kind: str, key: str, owner: str) -> bool:
        """Forget it. False where this owner has nothing there."""
        return bool(self._database.run(_DELETE, (kind, key, owner, self._clock())))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
