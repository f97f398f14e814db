"""Where uploaded files are kept. Methods block: call them in a thread."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from longreach.serve.database import PRIVATE_DIR, PRIVATE_FILE, Database
from longreach.serve.errors import ApiError, echo

Order = Literal["asc", "desc"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    num_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);
CREATE INDEX IF NOT EXISTS files_of_owner ON files (owner, number);
"""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """What is known of a file. Times: Unix, in seconds. expires_at: None keeps it."""

    id: str
    owner: str
    filename: str
    purpose: str
    num_bytes: int
    created_at: int
    expires_at: int | None

    def as_object(self) -> dict[str, Any]:
        """The file as OpenAI's API shows it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.num_bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass(frozen=True)
class Page:
    """Some of a list, and whether more comes after it."""

    files: list[StoredFile]
    has_more: bool


class FileStore:
    """Files of all owners in one directory. clock: Unix time."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        root.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
        self._root = root
        self._clock = clock
        self._database = Database(root / "files.db", _SCHEMA)

    def add(
        self,
        owner: str,
        content: BinaryIO,
        *,
        filename: str,
        purpose: str,
        expires_after_s: int | None = None,
    ) -> StoredFile:
        """Keep a copy of what `content` holds. A crash leaves all of it or nothing."""
        file_id = f"file-{secrets.token_hex(12)}"
        num_bytes = write_whole(self.path_of(file_id), content)
        now = int(self._clock())
        file = StoredFile(
            id=file_id,
            owner=owner,
            filename=filename,
            purpose=purpose,
            num_bytes=num_bytes,
            created_at=now,
            expires_at=None if expires_after_s is None else now + expires_after_s,
        )
        self._insert(file)
        return file

    def get(self, owner: str, file_id: str, *, param: str = "file_id") -> StoredFile:
        """Raises ApiError 404 for a file that is not there, has expired, or is another's."""
        return _file(self._row(owner, file_id, param))

    def page(
        self,
        owner: str,
        *,
        after: str | None = None,
        limit: int = 10_000,
        order: Order = "desc",
        purpose: str | None = None,
    ) -> Page:
        """Files by age. after: the id that the page before ended with. Raises as `get` does."""
        self._purge()
        comparison, direction = (">", "ASC") if order == "asc" else ("<", "DESC")
        where, values = "owner = ?", [owner]
        if purpose is not None:
            where, values = f"{where} AND purpose = ?", [*values, purpose]
        if after is not None:
            number = self._row(owner, after, "after")["number"]
            where, values = f"{where} AND number {comparison} ?", [*values, number]
        query = f"SELECT * FROM files WHERE {where} ORDER BY number {direction} LIMIT ?"  # noqa: S608 - our words
        files = [_file(row) for row in self._database.run(query, [*values, limit + 1])]
        return Page(files[:limit], has_more=len(files) > limit)

    def delete(self, owner: str, file_id: str) -> None:
        """Forget a file and its bytes. Raises as `get` does."""
        self._remove(self.get(owner, file_id).id)

    def path_of(self, file_id: str) -> Path:
        """Where a file's bytes are."""
        return self._root / file_id

    def note_of(self, file_id: str) -> Path:
        """Where something about a file can be kept that goes with it."""
        return self._root / f"{file_id}.note"

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _row(self, owner: str, file_id: str, param: str) -> sqlite3.Row:
        self._purge()
        query = "SELECT * FROM files WHERE owner = ? AND id = ?"
        for row in self._database.run(query, (owner, file_id)):
            return row
        raise ApiError(404, f"No such File object: {echo(file_id)}.", param=param)

    def _insert(self, file: StoredFile) -> None:
        names = "id, owner, filename, purpose, num_bytes, created_at, expires_at"
        statement = f"INSERT INTO files ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our words
        self._database.run(statement, [getattr(file, name) for name in names.split(", ")])

    def _purge(self) -> None:
        """Remove what has expired."""
        query = "SELECT id FROM files WHERE expires_at <= ?"
        for row in self._database.run(query, (int(self._clock()),)):
            self._remove(row["id"])

    def _remove(self, file_id: str) -> None:
        self._database.run("DELETE FROM files WHERE id = ?", (file_id,))
        self.path_of(file_id).unlink(missing_ok=True)
        self.note_of(file_id).unlink(missing_ok=True)


def _file(row: sqlite3.Row) -> StoredFile:
    fields = {name: row[name] for name in row.keys() if name != "number"}  # noqa: SIM118 - no dict
    return StoredFile(**fields)


def write_whole(path: Path, content: BinaryIO) -> int:
    """Write a private file that is there whole or not at all; its size."""
    partial = path.with_suffix(".partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        with os.fdopen(handle, "wb") as target:
            shutil.copyfileobj(content, target)
            target.flush()
            os.fsync(target.fileno())
            size = target.tell()
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    return size
