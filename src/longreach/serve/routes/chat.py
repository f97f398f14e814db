"""POST /v1/chat/completions."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from longreach.serve.auth import Caller
from longreach.serve.chat import chat_generation
from longreach.serve.chat_format import ChatChunks, ChatStyle, chat_completion
from longreach.serve.context import Context
from longreach.serve.generation import start
from longreach.serve.http import JsonResponse, JsonRoute
from longreach.serve.replies import stream_answer, whole_answer
from longreach.serve.schema.chat import ChatRequest

router = APIRouter(route_class=JsonRoute, tags=["chat"])


@router.post("/v1/chat/completions")
@router.post("/chat/completions")
async def chat_completions(
    request: Request, context: Context, caller: Caller, body: ChatRequest
) -> Response:
    """Answer a conversation, whole or as server-sent events."""
    model = context.check_model(body.model)
    wanted = await chat_generation(context, caller, body, f"chatcmpl-{uuid.uuid4().hex}")
    style = ChatStyle(
        id=wanted.request_id,
        model=model,
        fingerprint=context.fingerprint,
        tokenizer=context.engine.tokenizer,
        num_logprobs=wanted.params.logprobs,
        legacy=body.functions is not None,
        usage=body.wants_usage,
        progress=body.return_progress,
    )
    generation = await start(context, caller, wanted)
    if body.stream:
        return await stream_answer(request, context, generation, ChatChunks(style).of)
    return JsonResponse(chat_completion(style, await whole_answer(request, generation)))
