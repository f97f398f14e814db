"""Batches: many requests in one file, run when there is room, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query

from longreach.serve.auth import Caller
from longreach.serve.batches.runner import Runner, runner_of_app
from longreach.serve.batches.storage import new_batch
from longreach.serve.context import Files
from longreach.serve.errors import ApiError, bad_request
from longreach.serve.http import JsonResponse, JsonRoute
from longreach.serve.listing import listing
from longreach.serve.schema.batches import BatchRequest

MAX_LIMIT = 100


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Batches that an earlier server left go on; those of this one stop with it."""
    state_dir = app.state.context.settings.state_dir
    if state_dir is not None and (state_dir / "batches").is_dir():
        runner_of_app(app)
    yield
    if hasattr(app.state, "batches"):
        await app.state.batches.close()


router = APIRouter(route_class=JsonRoute, tags=["batches"], lifespan=_lifespan)


@router.post("/v1/batches")
async def create_batch(
    caller: Caller, runner: Runner, files: Files, body: BatchRequest
) -> JsonResponse:
    """Start a batch over a file that was uploaded for it."""
    try:
        file = await asyncio.to_thread(files.get, caller.owner, body.input_file_id)
    except ApiError as error:
        raise bad_request(error.message, "input_file_id") from error
    if file.purpose != "batch":
        message = f"The file's purpose is {file.purpose}: expected batch."
        raise bad_request(message, "input_file_id")
    return JsonResponse(runner.add(new_batch(caller.owner, body)).as_object())


@router.get("/v1/batches")
async def list_batches(
    caller: Caller,
    runner: Runner,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 20,
) -> JsonResponse:
    """The caller's batches, the newest first."""
    batches, has_more = runner.page(caller.owner, after=after, limit=limit)
    return JsonResponse(listing([batch.as_object() for batch in batches], has_more))


@router.get("/v1/batches/{batch_id}")
async def get_batch(caller: Caller, runner: Runner, batch_id: str) -> JsonResponse:
    """A batch as it is now."""
    return JsonResponse(runner.get(caller.owner, batch_id).as_object())


@router.post("/v1/batches/{batch_id}/cancel")
async def cancel_batch(caller: Caller, runner: Runner, batch_id: str) -> JsonResponse:
    """End it early; what is answered is kept."""
    return JsonResponse(runner.cancel(caller.owner, batch_id).as_object())
