"""Run the lines of a batch that have no answer yet, so many at a time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from longreach.errors import EngineClosedError
from longreach.serve.auth import Identity
from longreach.serve.batches.journal import Journal, answer_line
from longreach.serve.batches.lines import BatchLine, read_body
from longreach.serve.batches.local import LocalApi, Reply
from longreach.serve.batches.order import PrefixQueue, prefix_key
from longreach.serve.batches.prompts import prompt_bytes
from longreach.serve.errors import ApiError, bad_request, openai_body, too_deep
from longreach.serve.tasks import cancel
from longreach.text.nesting import is_too_deep

_WORTH_WAITING = frozenset({"model_loading", "queue_full", "rate_limit_exceeded"})
_STOPPED = frozenset({"shutting_down", "engine_failed"})
_UNAVAILABLE = frozenset({429, 503})
_MIN_WAIT_S = 0.05


async def run_lines(
    api: LocalApi,
    source: Path,
    lines: Sequence[BatchLine],
    journal: Journal,
    *,
    caller: Identity,
    concurrency: int,
    on_answer: Callable[[], object] = lambda: None,
) -> None:
    """Answer every line that the journal lacks, once; which succeeded is the journal's to tell.

    on_answer: called after each. Raises EngineClosedError when the server stops: what is left can
    be run later, with the same journal.
    """
    left = [line for line in lines if line.custom_id not in journal.done]
    queue = PrefixQueue([(await _key(api, source, line, caller), line) for line in left])

    async def work() -> None:
        while (taken := await queue.take()) is not None:
            ticket, line = taken
            journal.append(await _answer(api, source, line, caller))
            await queue.done(ticket)
            on_answer()

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(left)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            await cancel(worker)


async def _key(api: LocalApi, source: Path, line: BatchLine, caller: Identity) -> bytes:
    body = await asyncio.to_thread(read_body, source, line)
    return prefix_key(await prompt_bytes(api.context, caller, line.url, body))


async def _answer(api: LocalApi, source: Path, line: BatchLine, caller: Identity) -> dict[str, Any]:
    body = await asyncio.to_thread(read_body, source, line)
    request_id = uuid.uuid4().hex
    reply = await _reply(api, line, body, caller, request_id)
    return answer_line(line.custom_id, reply.status, request_id, reply.body)


def _refused(body: dict[str, Any]) -> ApiError | None:
    """What a route cannot say: it would stream, or its body cannot be written as JSON again."""
    if is_too_deep(body):
        return too_deep()
    for name in ("stream", "background"):
        if body.get(name):
            return bad_request(f"A batch answers when all is done: leave {name} out.", name)
    return None


async def _reply(
    api: LocalApi, line: BatchLine, body: dict[str, Any], caller: Identity, request_id: str
) -> Reply:
    if (refused := _refused(body)) is not None:
        return Reply(refused.status, openai_body(refused))
    while True:
        reply = await api.post(line.url, body, caller, request_id)
        if reply.status not in _UNAVAILABLE:
            return reply
        if reply.code in _STOPPED or api.context.phase == "draining":
            raise EngineClosedError(str(reply.body["error"]["message"]))
        if reply.code not in _WORTH_WAITING:
            return reply
        await asyncio.sleep(max(reply.retry_after_s, _MIN_WAIT_S))
