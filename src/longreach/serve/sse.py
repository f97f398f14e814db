"""Server-sent events: frames, pings while nothing comes, and an end when the client goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from longreach.serve.http import to_json, unless_hung_up
from longreach.serve.tasks import cancel

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
CONTENT_TYPE = "text/event-stream; charset=utf-8"


def data_frame(data: Any) -> bytes:
    """`data: {json}`, as chat completions have it."""
    return b"data: " + to_json(data) + b"\n\n"


def event_frame(event: str, data: Any) -> bytes:
    """`event: name` and `data: {json}`, as responses and messages have it."""
    return b"event: " + event.encode() + b"\ndata: " + to_json(data) + b"\n\n"


async def with_pings(
    frames: AsyncGenerator[bytes, None], interval_s: float, ping: bytes = PING
) -> AsyncGenerator[bytes, None]:
    """The frames, and a ping after each `interval_s` of silence (0: none)."""
    pending: asyncio.Future[bytes] | None = None
    async with aclosing(frames):
        try:
            while True:
                pending = pending or asyncio.ensure_future(anext(frames))
                await asyncio.wait({pending}, timeout=interval_s or None)
                if not pending.done():
                    yield ping
                    continue
                done, pending = pending, None
                try:
                    yield done.result()
                except StopAsyncIteration:
                    return
        finally:
            if pending is not None:
                await cancel(pending)


class EventStream(Response):
    """An answer that streams frames. When the client goes, they are stopped.

    close: called at the end, whatever the end was, even before the first frame.
    ping: sent after each `interval_s` of silence (0: never).
    """

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        *,
        interval_s: float,
        close: Callable[[], Awaitable[None]],
        ping: bytes = PING,
        content_type: str = CONTENT_TYPE,
    ) -> None:
        super().__init__(headers=HEADERS, media_type=content_type)
        del self.headers["Content-Length"]
        self._frames = frames
        self._interval_s = interval_s
        self._ping = ping
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_hung_up(receive, self._send_all(send))
        finally:
            await self._close()

    async def _send_all(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with aclosing(with_pings(self._frames, self._interval_s, self._ping)) as frames:
            async for frame in frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
