"""/v1/responses: make, read again, follow, cancel, delete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from longreach.serve.auth import Caller, Identity
from longreach.serve.context import Context, ServerContext
from longreach.serve.errors import bad_request, not_supported
from longreach.serve.generation import start
from longreach.serve.http import JsonResponse, JsonRoute, unless_hung_up
from longreach.serve.replies import first_event
from longreach.serve.responses.items import KeptItem, kept_items
from longreach.serve.responses.objects import make_response_id, new_response
from longreach.serve.responses.request import count_tokens, response_generation
from longreach.serve.responses.run import BackgroundRun, ResponseRun
from longreach.serve.responses.stored import UNFINISHED, StoredResponse, StoredResponses
from longreach.serve.responses.writer import ResponseWriter
from longreach.serve.resume import resumable
from longreach.serve.schema.responses import PromptFields, ResponsesRequest
from longreach.serve.sse import EventStream

router = APIRouter(route_class=JsonRoute, tags=["responses"])
_PATH = "/v1/responses/{response_id}"


@router.post("/v1/responses")
async def create_response(
    request: Request, context: Context, caller: Caller, body: ResponsesRequest
) -> Response:
    """Answer a conversation: whole, as named server-sent events, or in the background."""
    _check(body)
    run = await _start(context, caller, body)
    if body.background:
        return await _run_in_background(context, caller, body, run)
    if body.stream:
        interval_s = context.settings.sse_keep_alive_interval
        await first_event(request, run.generation, interval_s)
        answer = EventStream(run.frames(), interval_s=interval_s, close=run.generation.close)
        return await resumable(request, context, answer)
    try:
        return JsonResponse(await unless_hung_up(request.receive, run.whole()))
    finally:
        await run.generation.close()


def _check(body: ResponsesRequest) -> None:
    if body.background and not body.is_stored:
        raise bad_request("background needs store: true.", "background")
    if body.stream_options is not None and not body.stream:
        raise bad_request("stream_options needs stream: true.", "stream_options")


async def _start(context: ServerContext, caller: Identity, body: ResponsesRequest) -> ResponseRun:
    model = context.check_model(body.model)
    stored = StoredResponses(context.store, caller.owner)
    items = kept_items(body.input)
    conversation = await _conversation(stored, body, items)
    response_id = make_response_id()
    wanted = await response_generation(context, caller, body, conversation, response_id)
    response = new_response(body, response_id, model, wanted.params)
    writer = ResponseWriter(response, context.engine.tokenizer, wanted.params.logprobs)
    generation = await start(context, caller, wanted)
    return ResponseRun(writer, generation, stored=stored if body.is_stored else None, items=items)


async def _conversation(
    stored: StoredResponses, body: PromptFields, items: Sequence[KeptItem]
) -> list[KeptItem]:
    earlier = body.previous_response_id
    return [*(await stored.conversation(earlier) if earlier else ()), *items]


async def _run_in_background(
    context: ServerContext, caller: Identity, body: ResponsesRequest, run: ResponseRun
) -> Response:
    await run.save()
    detached = BackgroundRun(run, caller.owner, StoredResponses(context.store, caller.owner))
    answer = JsonResponse(run.response)
    await context.detached.start(run.response["id"], detached)
    return _stream(context, detached.recording.follow()) if body.stream else answer


def _stream(context: ServerContext, frames: AsyncGenerator[bytes, None]) -> EventStream:
    """Frames that are made elsewhere: who stops reading them stops nothing."""
    interval_s = context.settings.sse_keep_alive_interval
    return EventStream(frames, interval_s=interval_s, close=frames.aclose)


@router.post("/v1/responses/input_tokens")
async def input_tokens(context: Context, caller: Caller, body: PromptFields) -> JsonResponse:
    """How many tokens a body would take."""
    context.check_model(body.model)
    stored = StoredResponses(context.store, caller.owner)
    conversation = await _conversation(stored, body, kept_items(body.input))
    count = await count_tokens(context, caller, body, conversation)
    return JsonResponse({"object": "response.input_tokens", "input_tokens": count})


@router.post("/v1/responses/compact")
async def compact() -> JsonResponse:
    """501: nothing here can say what of a conversation may be left out."""
    raise not_supported("This server does not compact conversations: send them whole.")


@router.get(_PATH)
async def get_response(
    context: Context,
    caller: Caller,
    response_id: str,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """A kept response; stream: the events of a background one, from the first or a later one."""
    if starting_after is not None and not stream:
        raise bad_request("starting_after needs stream=true.", "starting_after")
    first = 0 if starting_after is None else starting_after + 1
    live = context.detached.find(response_id, caller.owner, BackgroundRun)
    if live is not None:
        if stream:
            return _stream(context, live.recording.follow(first))
        return JsonResponse(live.response)
    stored = StoredResponses(context.store, caller.owner)
    response = (await _load(context, caller, response_id)).response
    if not stream:
        return JsonResponse(response)
    frames = await stored.load_events(response_id)
    if frames is None:
        message = "Only a response made with background: true can be streamed again."
        raise bad_request(message, "stream")
    return _stream(context, _replay(frames[first:]))


async def _replay(frames: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
    for frame in frames:
        yield frame


async def _load(context: ServerContext, caller: Identity, response_id: str) -> StoredResponse:
    """A kept response. One that is unfinished while nobody works on it will never be: it failed."""
    stored = StoredResponses(context.store, caller.owner)
    found = await stored.load(response_id)
    if found.response["status"] in UNFINISHED:
        message = "The server stopped before the response was finished. Send it again."
        error = {"code": "server_error", "message": message}
        found.response.update(status="failed", error=error)
        await stored.save(found.response, found.input)
    return found


@router.delete(_PATH)
async def delete_response(context: Context, caller: Caller, response_id: str) -> JsonResponse:
    """Forget a response, and stop it where it is still being made."""
    await _stop(context, caller, response_id)
    await StoredResponses(context.store, caller.owner).delete(response_id)
    return JsonResponse({"id": response_id, "object": "response", "deleted": True})


@router.post(_PATH + "/cancel")
async def cancel_response(context: Context, caller: Caller, response_id: str) -> JsonResponse:
    """Stop a background response; one that has ended stays as it is."""
    await _stop(context, caller, response_id)
    response = (await _load(context, caller, response_id)).response
    if not response["background"]:
        message = "Only a response made with background: true can be cancelled."
        raise bad_request(message, "response_id")
    return JsonResponse(response)


async def _stop(context: ServerContext, caller: Identity, response_id: str) -> None:
    if context.detached.find(response_id, caller.owner, BackgroundRun) is not None:
        await context.detached.stop(response_id)


@router.get(_PATH + "/input_items")
async def input_items(
    context: Context,
    caller: Caller,
    response_id: str,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> JsonResponse:
    """The items that a response's own request brought, page by page."""
    stored = await StoredResponses(context.store, caller.owner).load(response_id)
    items = stored.input if order == "asc" else stored.input[::-1]
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise bad_request(f"after names no item of {response_id}.", "after")
    begin = 0 if after is None else ids.index(after) + 1
    page = items[begin : begin + limit]
    return JsonResponse(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": begin + limit < len(items),
        }
    )
