"""Tasks of the event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any


async def cancel(task: asyncio.Future[Any]) -> None:
    """Stop a task and wait until it has cleaned up; its own errors are nobody's any more."""
    if task.done():
        return
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
