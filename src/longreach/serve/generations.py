"""Several prompts of one request, run side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from longreach.serve.auth import Identity
from longreach.serve.context import ServerContext
from longreach.serve.events import Event
from longreach.serve.generation import Generation, GenerationRequest, start
from longreach.serve.tasks import cancel

Tagged = tuple[int, Event]
"""The number of a prompt, and what happened to it."""
_Mail = asyncio.Queue[Tagged | Exception | None]


class Generations:
    """Admitted requests, one per prompt. Iterate `events` once, then `close` it."""

    def __init__(self, each: Sequence[Generation]) -> None:
        self.each = each

    async def wait_for_first(self, timeout_s: float) -> None:
        """Wait until something happened to the first one, at most so long."""
        await self.each[0].wait_for_first(timeout_s)

    async def events(self) -> AsyncGenerator[Tagged, None]:
        """What happens to any of them, in order. Raises the first failure."""
        mail: _Mail = asyncio.Queue()
        tasks = [
            asyncio.create_task(_forward(number, generation, mail))
            for number, generation in enumerate(self.each)
        ]
        left = len(tasks)
        try:
            while left:
                item = await mail.get()
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    left -= 1
                else:
                    yield item
        finally:
            for task in tasks:
                await cancel(task)

    async def close(self) -> None:
        """Stop all of them."""
        for generation in self.each:
            await generation.close()


async def _forward(number: int, generation: Generation, mail: _Mail) -> None:
    try:
        async with aclosing(generation.events()) as events:
            async for event in events:
                mail.put_nowait((number, event))
        mail.put_nowait(None)
    except Exception as error:  # noqa: BLE001 - raised again where it is read
        mail.put_nowait(error)


async def start_all(
    context: ServerContext, caller: Identity, requests: Sequence[GenerationRequest]
) -> Generations:
    """Hand all of them to the engine, or none: one that is refused takes the others with it."""
    started: list[Generation] = []
    try:
        for request in requests:
            started.append(await start(context, caller, request, is_first=not started))
    except BaseException:
        await Generations(started).close()
        raise
    return Generations(started)
