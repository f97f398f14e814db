"""The batches of a server, one after the other, the oldest first, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.requests import Request

from longreach.errors import EngineClosedError
from longreach.serve.batches.local import LocalApi
from longreach.serve.batches.storage import Batch, BatchStore
from longreach.serve.batches.work import BatchWork
from longreach.serve.errors import ApiError
from longreach.serve.files.storage import FileStore
from longreach.serve.tasks import cancel

logger = logging.getLogger("longreach.serve")
_LOOK_AGAIN_S = 0.2
"""How often it is looked whether another server has let go of the directory."""


class BatchRunner:
    """Runs what is stored, and what is added later. Two servers over one directory take turns."""

    def __init__(self, api: LocalApi, root: Path, files: FileStore) -> None:
        self._api = api
        self._store = BatchStore(root)
        self._files = files
        self._lock = sqlite3.connect(root / "lock.db", isolation_level=None, timeout=0)
        self._wake = asyncio.Event()
        self._current: BatchWork | None = None
        self._task = asyncio.create_task(self._run())

    def add(self, batch: Batch) -> Batch:
        """Take on a new batch."""
        self._store.add(batch)
        self._wake.set()
        return batch

    def get(self, owner: str, batch_id: str) -> Batch:
        """A batch as it is at this moment. Raises ApiError 404."""
        return self._now(self._store.get(owner, batch_id))

    def page(self, owner: str, *, after: str | None, limit: int) -> tuple[list[Batch], bool]:
        """See `BatchStore.page`."""
        batches, has_more = self._store.page(owner, after=after, limit=limit)
        return [self._now(batch) for batch in batches], has_more

    def cancel(self, owner: str, batch_id: str) -> Batch:
        """End a batch early and keep its answers so far. Raises ApiError 404, 409 when over."""
        batch = self.get(owner, batch_id)
        if batch.is_finished or batch.status == "finalizing":
            message = f"This batch is {batch.status}: there is nothing to cancel."
            raise ApiError(409, message, param="batch_id")
        if self._current is not None and self._current.batch.id == batch_id:
            self._current.stop()
            return self._current.batch
        if batch.status == "cancelling":
            return batch
        self._wake.set()
        return self._store.update(batch.enter("cancelling"))

    async def close(self) -> None:
        """Stop; what is unfinished goes on at the next start."""
        await cancel(self._task)
        self._store.close()
        self._lock.close()

    def _now(self, batch: Batch) -> Batch:
        current = self._current
        return current.batch if current is not None and current.batch.id == batch.id else batch

    async def _run(self) -> None:
        await self._until_alone()
        await self._api.context.loaded.wait()
        with suppress(EngineClosedError):
            while True:
                self._wake.clear()
                for batch in self._store.unfinished():
                    await self._work(batch.owner, batch.id)
                await self._wake.wait()

    async def _until_alone(self) -> None:
        while True:
            try:
                self._lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                await asyncio.sleep(_LOOK_AGAIN_S)
            else:
                return

    async def _work(self, owner: str, batch_id: str) -> None:
        """Its state is read again: it may have been cancelled while it waited for its turn."""
        self._current = BatchWork(
            self._api, self._store, self._files, self._store.get(owner, batch_id)
        )
        try:
            await self._current.run()
        except (EngineClosedError, asyncio.CancelledError):
            raise
        except Exception:
            logger.exception("batch %s failed", batch_id)
            await self._current.give_up()
        finally:
            self._current = None


def runner_of_app(app: FastAPI) -> BatchRunner:
    """The runner of an app, started when first needed, on the app's event loop."""
    if not hasattr(app.state, "batches"):
        root = app.state.context.state_dir / "batches"
        root.mkdir(mode=0o700, exist_ok=True)
        app.state.batches = BatchRunner(LocalApi(app), root, app.state.context.files)
    return app.state.batches


async def runner_of(request: Request) -> BatchRunner:
    """The runner of the app that got a request."""
    return runner_of_app(request.app)


Runner = Annotated[BatchRunner, Depends(runner_of)]
