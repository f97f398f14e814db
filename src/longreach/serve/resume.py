"""Streams that survive their connection, by llama.cpp's protocol.

A client that sends X-Conversation-Id with a request for a stream can lose the connection, and take
the stream up again at the byte where it was cut. The bytes are those of the wire, pings included.
"""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from starlette.requests import Request
from starlette.types import Message

from longreach.serve.auth import identity_of
from longreach.serve.context import ServerContext
from longreach.serve.detached import Recording
from longreach.serve.errors import bad_request
from longreach.serve.sse import EventStream

HEADER = "X-Conversation-Id"
KEEP_S = 300.0
"""A stream that has ended can be read so long."""
MAX_BYTES = 4 * 2**20
MAX_ID = 512


class ConversationStream:
    """An answer that is sent to a recording. Times are Unix times; completed_at: 0 before."""

    def __init__(self, owner: str, answer: EventStream) -> None:
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


async def resumable(request: Request, context: ServerContext, answer: EventStream) -> EventStream:
    """The answer itself; or one that can be taken up again, where the client named it."""
    conversation_id = request.headers.get(HEADER)
    if not conversation_id:
        return answer
    owner = identity_of(request).owner
    try:
        await stop(context, owner, _checked(conversation_id))
    except BaseException:
        await answer.close()
        raise
    stream = ConversationStream(owner, answer)
    context.conversations[owner, conversation_id] = stream
    context.detached.start(_key(owner, conversation_id), stream)
    return follow(stream, 0)


def _checked(conversation_id: str) -> str:
    if len(conversation_id) > MAX_ID:
        raise bad_request(f"{HEADER} has more than {MAX_ID} characters.", HEADER)
    return conversation_id


def follow(stream: ConversationStream, offset: int) -> EventStream:
    """A stream from a byte on. Who stops reading stops nothing."""
    frames = stream.recording.follow_bytes(offset)
    return EventStream(frames, interval_s=0, close=frames.aclose)


def find(context: ServerContext, owner: str, conversation_id: str) -> ConversationStream | None:
    """The owner's stream of a conversation, while it can be read."""
    streams = context.conversations
    for key in [key for key, stream in streams.items() if stream.is_over()]:
        del streams[key]
    return streams.get((owner, conversation_id))


async def stop(context: ServerContext, owner: str, conversation_id: str) -> None:
    """Stop and forget a stream; harmless where there is none."""
    await context.detached.stop(_key(owner, conversation_id))
    context.conversations.pop((owner, conversation_id), None)


def _key(owner: str, conversation_id: str) -> str:
    return f"stream:{owner}:{conversation_id}"
