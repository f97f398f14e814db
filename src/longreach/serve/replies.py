"""How a route answers: whole or as a stream, with a client that may leave at any time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request

from longreach.serve.collect import Collected, collect
from longreach.serve.context import ServerContext
from longreach.serve.errors import ApiError, openai_body
from longreach.serve.events import Event
from longreach.serve.generation import Generation
from longreach.serve.http import unless_hung_up
from longreach.serve.sse import DONE, EventStream, data_frame


async def whole_answer(request: Request, generation: Generation) -> Collected:
    """All of it. When the client leaves, the engine stops and ClientDisconnect is raised."""
    try:
        return await unless_hung_up(request.receive, collect(generation.events()))
    finally:
        await generation.close()


async def stream_answer(
    request: Request,
    context: ServerContext,
    generation: Generation,
    chunks_of: Callable[[Event], Iterable[dict[str, Any]]],
) -> EventStream:
    """`data:` frames of the chunks, then [DONE].

    What fails before anything happened is raised, and so gets its own status; what fails later is
    sent as an error frame, and the stream ends without [DONE].
    """
    interval_s = context.settings.sse_keep_alive_interval
    await first_event(request, generation, interval_s)
    frames = _frames(generation, chunks_of)
    return EventStream(frames, interval_s=interval_s, close=generation.close)


async def first_event(request: Request, generation: Generation, timeout_s: float) -> None:
    """Wait for the first event, or as long; closes the generation when that fails."""
    try:
        await unless_hung_up(request.receive, generation.wait_for_first(timeout_s))
    except BaseException:
        await generation.close()
        raise


async def _frames(
    generation: Generation, chunks_of: Callable[[Event], Iterable[dict[str, Any]]]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(generation.events()) as events:
        try:
            async for event in events:
                if frames := [data_frame(chunk) for chunk in chunks_of(event)]:
                    yield b"".join(frames)
        except ApiError as error:
            yield data_frame(openai_body(error))
            return
    yield DONE
