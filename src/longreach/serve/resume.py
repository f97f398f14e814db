"""Streams that survive their connection, by llama.cpp's protocol.

A client that sends X-Conversation-Id with a request for a stream can lose the connection, and take
the stream up again at the byte where it was cut. The bytes are those of the wire, pings included.
"""

from __future__ import annotations

from starlette.requests import Request

from longreach.serve.auth import identity_of
from longreach.serve.context import ServerContext
from longreach.serve.conversations import ConversationStream
from longreach.serve.errors import bad_request
from longreach.serve.sse import EventStream

HEADER = "X-Conversation-Id"
MAX_ID = 512


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
    _forget_ended(context)
    stream = ConversationStream(owner, answer)
    context.conversations[owner, conversation_id] = stream
    await context.detached.start(_key(owner, conversation_id), stream)
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
    _forget_ended(context)
    return context.conversations.get((owner, conversation_id))


def _forget_ended(context: ServerContext) -> None:
    """Whoever adds one or asks for one does this, so that what nobody asks for goes too."""
    streams = context.conversations
    for key in [key for key, stream in streams.items() if stream.is_over()]:
        del streams[key]


async def stop(context: ServerContext, owner: str, conversation_id: str) -> None:
    """Stop and forget a stream; harmless where there is none."""
    await context.detached.stop(_key(owner, conversation_id))
    context.conversations.pop((owner, conversation_id), None)


def _key(owner: str, conversation_id: str) -> str:
    return f"stream:{owner}:{conversation_id}"
