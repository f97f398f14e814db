"""Work that goes on when its client has left, and what it says, for whoever comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from longreach.serve.tasks import cancel

logger = logging.getLogger("longreach.serve")


class Recording:
    """Frames in order, kept so that any number of readers can follow from any of them."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._news = asyncio.Event()
        self.is_complete = False

    @property
    def frames(self) -> Sequence[bytes]:
        """All that were recorded so far."""
        return self._frames

    def add(self, frame: bytes) -> None:
        """The next frame."""
        self._frames.append(frame)
        self._wake()

    def end(self) -> None:
        """No more frames come."""
        self.is_complete = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The frames from number `start`: those there are at once, the others as they come."""
        while True:
            while start < len(self._frames):
                yield self._frames[start]
                start += 1
            if self.is_complete:
                return
            await self._news.wait()


class DetachedRun(Protocol):
    """A piece of work that does not depend on a connection. owner: whose it is."""

    owner: str

    def work(self) -> Coroutine[Any, Any, None]:
        """All of it. Cancelling it stops it."""
        ...


R = TypeVar("R", bound=DetachedRun)


class DetachedRuns:
    """The detached work of a server, by id."""

    def __init__(self) -> None:
        self._runs: dict[str, DetachedRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, key: str, run: DetachedRun) -> None:
        """Let it run."""
        task = asyncio.create_task(run.work(), name=key)
        self._runs[key], self._tasks[key] = run, task
        task.add_done_callback(lambda _: self._forget(key, task))

    def find(self, key: str, owner: str, kind: type[R]) -> R | None:
        """What runs under this id, if it is the owner's and of this kind."""
        run = self._runs.get(key)
        return run if isinstance(run, kind) and run.owner == owner else None

    async def stop(self, key: str) -> None:
        """Cancel it and wait until it has cleaned up. Harmless when it has ended."""
        if (task := self._tasks.get(key)) is not None:
            await cancel(task)

    async def finish(self) -> None:
        """Wait for all of them, as a server does that drains."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())
            await asyncio.sleep(0)

    def _forget(self, key: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._runs[key], self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("detached work %s failed", key, exc_info=error)
