"""What is known of batches, each change of state kept at once. Methods block for a disk's time."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from longreach.serve.database import Database
from longreach.serve.errors import ApiError, echo
from longreach.serve.schema.batches import BatchRequest

State = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
UNFINISHED = frozenset({"validating", "in_progress", "finalizing", "cancelling"})

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    status TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_of_owner ON batches (owner, number);
"""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch, by the names of OpenAI's API. Times: Unix, in seconds.

    num_*: as of its last change of state. output_expires_s: of the files that it makes.
    """

    id: str
    owner: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    status: State = "validating"
    metadata: dict[str, str] | None = None
    output_expires_s: int | None = None
    errors: list[dict[str, Any]] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    num_total: int = 0
    num_completed: int = 0
    num_failed: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.status not in UNFINISHED

    def enter(self, status: State, **changes: Any) -> Batch:
        """The batch in its next state, which notes when it got there."""
        if status != "validating":
            changes.setdefault(f"{status}_at", int(time.time()))
        return replace(self, status=status, **changes)

    def as_object(self) -> dict[str, Any]:
        """The batch as OpenAI's API shows it."""
        hidden = ("owner", "output_expires_s", "num_total", "num_completed", "num_failed")
        fields = {name: value for name, value in asdict(self).items() if name not in hidden}
        return {
            **fields,
            "object": "batch",
            "errors": None if self.errors is None else {"object": "list", "data": self.errors},
            "request_counts": {
                "total": self.num_total,
                "completed": self.num_completed,
                "failed": self.num_failed,
            },
        }


def new_batch(owner: str, body: BatchRequest) -> Batch:
    """A batch as it begins."""
    now, expiry = int(time.time()), body.output_expires_after
    return Batch(
        id=f"batch_{secrets.token_hex(12)}",
        owner=owner,
        endpoint=body.endpoint,
        input_file_id=body.input_file_id,
        completion_window=body.completion_window,
        created_at=now,
        expires_at=now + body.window_s,
        metadata=body.metadata,
        output_expires_s=None if expiry is None else expiry.seconds,
    )


class BatchStore:
    """Batches of all owners. root: also holds a folder for each one's work."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._database = Database(root / "batches.db", _SCHEMA)

    def add(self, batch: Batch) -> None:
        """Keep a new batch."""
        statement = "INSERT INTO batches (id, owner, status, data) VALUES (?, ?, ?, ?)"
        self._database.run(statement, (batch.id, batch.owner, batch.status, _written(batch)))

    def update(self, batch: Batch) -> Batch:
        """Keep a batch as it is now, and return it."""
        statement = "UPDATE batches SET status = ?, data = ? WHERE id = ?"
        self._database.run(statement, (batch.status, _written(batch), batch.id))
        return batch

    def get(self, owner: str, batch_id: str, *, param: str = "batch_id") -> Batch:
        """Raises ApiError 404 for a batch that is not there, or is another's."""
        query = "SELECT data FROM batches WHERE owner = ? AND id = ?"
        for row in self._database.run(query, (owner, batch_id)):
            return _read(row["data"])
        raise ApiError(404, f"No such Batch object: {echo(batch_id)}.", param=param)

    def page(self, owner: str, *, after: str | None, limit: int) -> tuple[list[Batch], bool]:
        """The newest first, and whether more come after them. Raises as `get` does."""
        where, values = "owner = ?", [owner]
        if after is not None:
            self.get(owner, after, param="after")
            where += " AND number < (SELECT number FROM batches WHERE id = ?)"
            values.append(after)
        query = f"SELECT data FROM batches WHERE {where} ORDER BY number DESC LIMIT ?"  # noqa: S608 - our words
        rows = self._database.run(query, [*values, limit + 1])
        return [_read(row["data"]) for row in rows[:limit]], len(rows) > limit

    def unfinished(self) -> list[Batch]:
        """Batches of all owners that have something left to do, the oldest first."""
        marks = ", ".join("?" * len(UNFINISHED))
        query = f"SELECT data FROM batches WHERE status IN ({marks}) ORDER BY number"  # noqa: S608 - our words
        return [_read(row["data"]) for row in self._database.run(query, sorted(UNFINISHED))]

    def folder_of(self, batch: Batch) -> Path:
        """Where a batch's input and its answers so far are."""
        return self._root / batch.id

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


def _written(batch: Batch) -> str:
    return json.dumps(asdict(batch))


def _read(data: str) -> Batch:
    return Batch(**json.loads(data))
