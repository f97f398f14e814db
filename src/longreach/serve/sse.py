"""Server-sent events: frames, pings while nothing comes, and an end when the client goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from time import monotonic
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


class _Sender:
    """Sends frames of one stream, and pings while none come."""

    def __init__(self, send: Send, ping: bytes, interval_s: float) -> None:
        self._send = send
        self._ping = ping
        self._interval_s = interval_s
        self._sent_s = monotonic()

    async def send(self, frame: bytes) -> None:
        """One frame."""
        self._sent_s = monotonic()
        await self._send({"type": "http.response.body", "body": frame, "more_body": True})

    async def keep_alive(self) -> None:
        """Ping for ever, after each interval of silence; 0: never."""
        while self._interval_s:
            left_s = self._sent_s + self._interval_s - monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
            else:
                await self.send(self._ping)


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
        self.close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_hung_up(receive, self._send_all(send))
        finally:
            await self.close()

    async def _send_all(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        sender = _Sender(send, self._ping, self._interval_s)
        pings = asyncio.ensure_future(sender.keep_alive())
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    await sender.send(frame)
        finally:
            await cancel(pings)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
