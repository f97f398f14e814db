"""POST /v1/messages and /v1/messages/count_tokens, as Anthropic's clients call them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from longreach.serve.anthropic.errors import anthropic_body
from longreach.serve.anthropic.format import MessageEvents, MessageStyle, whole_message
from longreach.serve.anthropic.request import count_tokens, message_generation
from longreach.serve.auth import Caller
from longreach.serve.context import Context
from longreach.serve.errors import ApiError
from longreach.serve.generation import Generation, start
from longreach.serve.http import JsonResponse, JsonRoute
from longreach.serve.replies import first_event, whole_answer
from longreach.serve.resume import resumable
from longreach.serve.schema.anthropic import CountRequest, MessagesRequest
from longreach.serve.sse import EventStream, event_frame

router = APIRouter(route_class=JsonRoute, tags=["anthropic"])
ERROR_BODIES = {"/v1/messages": anthropic_body}
_PING = event_frame("ping", {"type": "ping"})


@router.post("/v1/messages")
async def messages(
    request: Request, context: Context, caller: Caller, body: MessagesRequest
) -> Response:
    """Answer a conversation, whole or as named server-sent events."""
    model = context.check_model(body.model)
    wanted = await message_generation(context, caller, body, f"msg_{uuid.uuid4().hex}")
    generation = await start(context, caller, wanted)
    style = MessageStyle(
        id=wanted.request_id,
        model=model,
        num_prompt_tokens=generation.num_prompt_tokens,
        cites=body.wants_citations,
    )
    if not body.stream:
        return JsonResponse(whole_message(style, await whole_answer(request, generation)))
    interval_s = context.settings.sse_keep_alive_interval
    await first_event(request, generation, interval_s)
    frames = _frames(generation, MessageEvents(style))
    answer = EventStream(frames, interval_s=interval_s, close=generation.close, ping=_PING)
    return await resumable(request, context, answer)


async def _frames(generation: Generation, writer: MessageEvents) -> AsyncGenerator[bytes, None]:
    async with aclosing(generation.events()) as events:
        try:
            async for event in events:
                if frames := [event_frame(out["type"], out) for out in writer.of(event)]:
                    yield b"".join(frames)
        except ApiError as error:
            yield event_frame("error", anthropic_body(error))


@router.post("/v1/messages/count_tokens")
async def count(context: Context, caller: Caller, body: CountRequest) -> JsonResponse:
    """How many tokens a conversation takes."""
    context.check_model(body.model)
    return JsonResponse({"input_tokens": await count_tokens(context, caller, body)})
