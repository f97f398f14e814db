"""Work that goes on when its client has left, and what it says, for whoever comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from longreach.serve.tasks import cancel

logger = logging.getLogger("longreach.serve")


class Recording:
    """Frames in order, kept so that any number of readers can follow from any of them.

    max_bytes: the oldest frames are dropped beyond it; None keeps all. num_bytes: of all frames
    that were recorded; dropped_bytes: of those that are gone.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes = max_bytes
        self._frames: list[bytes] = []
        self._num_dropped = 0
        self._news = asyncio.Event()
        self.num_bytes = 0
        self.dropped_bytes = 0
        self.is_complete = False

    @property
    def frames(self) -> Sequence[bytes]:
        """All that are kept."""
        return self._frames

    def add(self, frame: bytes) -> None:
        """The next frame."""
        self._frames.append(frame)
        self.num_bytes += len(frame)
        self._drop()
        self._wake()

    def end(self) -> None:
        """No more frames come."""
        self.is_complete = True
        self._wake()

    def _drop(self) -> None:
        if self._max_bytes is None:
            return
        while self.num_bytes - self.dropped_bytes > self._max_bytes:
            self.dropped_bytes += len(self._frames.pop(0))
            self._num_dropped += 1

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The frames from number `start`: those there are at once, the others as they come.

        A reader that is so slow that its next frame is gone has come to its end.
        """
        while start >= self._num_dropped:
            while self._num_dropped <= start < self._num_dropped + len(self._frames):
                yield self._frames[start - self._num_dropped]
                start += 1
            if self.is_complete:
                return
            await self._news.wait()

    async def follow_bytes(self, offset: int) -> AsyncGenerator[bytes, None]:
        """The same from a byte on, at least `dropped_bytes` and at most `num_bytes`."""
        begin, number = self.dropped_bytes, self._num_dropped
        for frame in self._frames:
            if begin + len(frame) > offset:
                yield frame[offset - begin :]
                number += 1
                break
            begin, number = begin + len(frame), number + 1
        async with aclosing(self.follow(number)) as rest:
            async for frame in rest:
                yield frame


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

    async def start(self, key: str, run: DetachedRun) -> None:
        """Let it run; it has begun when this returns, so that it can clean up if it is stopped."""
        task = asyncio.create_task(run.work(), name=key)
        self._runs[key], self._tasks[key] = run, task
        task.add_done_callback(lambda _: self._forget(key, task))
        await asyncio.sleep(0)

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
