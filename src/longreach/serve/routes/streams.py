"""Streams that were cut: read on, ask about, stop; by llama.cpp's protocol."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from longreach.serve.auth import Caller
from longreach.serve.context import Context
from longreach.serve.conversations import ConversationStream
from longreach.serve.errors import ApiError, bad_request
from longreach.serve.http import JsonResponse, JsonRoute
from longreach.serve.resume import find, follow, stop
from longreach.serve.schema.streams import LookupRequest

router = APIRouter(route_class=JsonRoute, tags=["streams"])


@router.get("/v1/stream")
async def read_on(
    context: Context,
    caller: Caller,
    conv_id: str,
    offset: Annotated[int, Query(alias="from", ge=0)] = 0,
) -> Response:
    """The bytes of a stream from `from` on, and what is still to come."""
    stream = find(context, caller.owner, conv_id)
    if stream is None:
        raise ApiError(404, "Stream not found or expired.", param="conv_id")
    recording = stream.recording
    if not recording.dropped_bytes <= offset <= recording.num_bytes:
        there = f"{recording.dropped_bytes} to {recording.num_bytes}"
        raise bad_request(f"from is {offset}: the bytes {there} are there. Start anew.", "from")
    return follow(stream, offset)


@router.delete("/v1/stream")
async def stop_stream(context: Context, caller: Caller, conv_id: str) -> Response:
    """Stop and forget a stream; one that is not there is stopped already."""
    await stop(context, caller.owner, conv_id)
    return Response(status_code=204)


@router.post("/v1/streams/lookup")
async def look_up(context: Context, caller: Caller, body: LookupRequest) -> JsonResponse:
    """Which of these conversations have a stream that can be read."""
    found = ((each, find(context, caller.owner, each)) for each in body.conversation_ids)
    return JsonResponse([_status(each, stream) for each, stream in found if stream is not None])


def _status(conversation_id: str, stream: ConversationStream) -> dict[str, Any]:
    return {
        "conversation_id": conversation_id,
        "is_done": stream.recording.is_complete,
        "total_bytes": stream.recording.num_bytes,
        "started_at": int(stream.started_at),
        "completed_at": int(stream.completed_at),
    }
