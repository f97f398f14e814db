"""A response being made: before a client's eyes, or detached from any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from longreach.serve.detached import Recording
from longreach.serve.errors import ApiError
from longreach.serve.generation import Generation
from longreach.serve.responses.items import KeptItem
from longreach.serve.responses.output import StreamEvent
from longreach.serve.responses.stored import UNFINISHED, StoredResponses
from longreach.serve.responses.writer import ResponseWriter
from longreach.serve.sse import event_frame


class ResponseRun:
    """Lets a writer write what a generation gives, and keeps the result.

    stored: where it is kept; None: nowhere. items: of the request itself.
    """

    def __init__(
        self,
        writer: ResponseWriter,
        generation: Generation,
        *,
        stored: StoredResponses | None,
        items: Sequence[KeptItem],
    ) -> None:
        self.writer = writer
        self.generation = generation
        self.error: ApiError | None = None
        self._stored = stored
        self._items = items

    @property
    def response(self) -> dict[str, Any]:
        """The response as it stands."""
        return self.writer.response

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Everything that happens; it is kept before the last event says that it is there.

        A failure is an event, and is `error` afterwards.
        """
        for event in self.writer.begin():
            yield event
        async with aclosing(self.generation.events()) as happenings:
            try:
                async for happening in happenings:
                    for event in self.writer.of(happening):
                        yield event
            except ApiError as error:
                self.error = error
                for event in self.writer.fail(error):
                    yield event
        await self.save()
        for event in self.writer.end():
            yield event

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The events as they are streamed."""
        async with aclosing(self.events()) as events:
            async for event in events:
                yield frame_of(event)

    async def whole(self) -> dict[str, Any]:
        """The finished response. Raises ApiError when it fails."""
        async with aclosing(self.events()) as events:
            async for _ in events:
                pass
        if self.error is not None:
            raise self.error
        return self.response

    async def save(self) -> None:
        """Keep it as it stands."""
        if self._stored is not None:
            await self._stored.save(self.response, self._items)


def frame_of(event: StreamEvent) -> bytes:
    """`event:` and `data:` lines."""
    return event_frame(event["type"], event)


class BackgroundRun:
    """A response that is made whether or not anybody listens; what is said is recorded."""

    def __init__(self, run: ResponseRun, owner: str, stored: StoredResponses) -> None:
        self.owner = owner
        self.recording = Recording()
        self._run = run
        self._stored = stored

    @property
    def response(self) -> dict[str, Any]:
        """The response as it stands."""
        return self._run.response

    async def work(self) -> None:
        """Make it. Cancelling this makes it a cancelled response."""
        try:
            async with aclosing(self._run.events()) as events:
                async for event in events:
                    self._record([event])
        except asyncio.CancelledError:
            if self.response["status"] in UNFINISHED:
                self._record(self._run.writer.cancel())
            await self._run.save()
            self._record(self._run.writer.end())
        finally:
            self.recording.end()
            await self._run.generation.close()
            await self._stored.save_events(self.response["id"], self.recording.frames)

    def _record(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            self.recording.add(frame_of(event))
