"""How a route answers: whole or as a stream, with a client that may leave at any time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from starlette.requests import Request

from longreach.serve.collect import Collected, collect
from longreach.serve.context import ServerContext
from longreach.serve.errors import ApiError, openai_body
from longreach.serve.generation import Generation
from longreach.serve.generations import Generations
from longreach.serve.http import unless_hung_up
from longreach.serve.resume import resumable
from longreach.serve.sse import DONE, EventStream, data_frame

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Source(Protocol[E_co]):
    """What is answered from: a `Generation`, or several together."""

    async def wait_for_first(self, timeout_s: float) -> None:
        """Wait until something happened, at most so long."""

    def events(self) -> AsyncGenerator[E_co, None]:
        """What happens."""
        ...

    async def close(self) -> None:
        """Stop it."""


async def whole_answer(request: Request, generation: Generation) -> Collected:
    """All of it. When the client leaves, the engine stops and ClientDisconnect is raised."""
    try:
        return await unless_hung_up(request.receive, collect(generation.events()))
    finally:
        await generation.close()


async def whole_answers(request: Request, generations: Generations) -> list[Collected]:
    """All of several prompts, in their order; raises as `whole_answer` does."""
    try:
        return await unless_hung_up(request.receive, _collect_all(generations))
    finally:
        await generations.close()


async def _collect_all(generations: Generations) -> list[Collected]:
    return [await collect(generation.events()) for generation in generations.each]


async def stream_answer(
    request: Request,
    context: ServerContext,
    source: Source[E],
    chunks_of: Callable[[E], Iterable[dict[str, Any]]],
) -> EventStream:
    """`data:` frames of the chunks, then [DONE].

    What fails before anything happened is raised, and so gets its own status; what fails later is
    sent as an error frame, and the stream ends without [DONE].
    """
    interval_s = context.settings.sse_keep_alive_interval
    await first_event(request, source, interval_s)
    frames = _frames(source, chunks_of)
    answer = EventStream(frames, interval_s=interval_s, close=source.close)
    return await resumable(request, context, answer)


async def first_event(request: Request, source: Source[E], timeout_s: float) -> None:
    """Wait for the first event, or as long; closes the source when that fails."""
    try:
        await unless_hung_up(request.receive, source.wait_for_first(timeout_s))
    except BaseException:
        await source.close()
        raise


async def _frames(
    source: Source[E], chunks_of: Callable[[E], Iterable[dict[str, Any]]]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(source.events()) as events:
        try:
            async for event in events:
                if frames := [data_frame(chunk) for chunk in chunks_of(event)]:
                    yield b"".join(frames)
        except ApiError as error:
            yield data_frame(openai_body(error))
            return
    yield DONE
