"""SQLite for what outlives a request: private files, any thread, a commit per statement."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600


class Database:
    """A database file that only its owner can read. schema: statements that may run again."""

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
        path.touch(mode=PRIVATE_FILE)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        # What is committed outlives the process; a power cut may take the last few statements.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(schema)

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Run one statement; its rows."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
