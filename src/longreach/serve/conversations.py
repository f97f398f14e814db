"""An answer that is sent to a recording instead of a client."""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from starlette.types import ASGIApp, Message

from longreach.serve.detached import Recording

KEEP_S = 300.0
"""A stream that has ended can be read so long."""
MAX_BYTES = 32 * 2**20
"""More than a reader can fall behind, unless it has stopped reading."""


class ConversationStream:
    """A stream that any number of connections can read. Times are Unix times.

    owner: whose it is. completed_at: 0 while it goes on.
    """

    def __init__(self, owner: str, answer: ASGIApp) -> None:
        self.owner = owner
        self.recording = Recording(MAX_BYTES)
        self.started_at = time.time()
        self.completed_at = 0.0
        self._answer = answer

    async def work(self) -> None:
        """Record all of it. Cancelling this stops it as a client does that leaves."""
        try:
            await self._answer({"type": "http"}, _never, self._record)
        finally:
            self.completed_at = time.time()
            self.recording.end()

    async def _record(self, message: Message) -> None:
        if body := message.get("body"):
            self.recording.add(body)

    def is_over(self) -> bool:
        """Whether nobody may read it any more."""
        return bool(self.completed_at) and self.completed_at + KEEP_S < time.time()


async def _never() -> NoReturn:
    """What comes from a client that neither sends nor leaves."""
    await asyncio.Event().wait()
    raise AssertionError
