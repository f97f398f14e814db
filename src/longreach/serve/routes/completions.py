"""POST /v1/completions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from longreach.serve.auth import Caller
from longreach.serve.completion import completion_generations, prompts_of
from longreach.serve.completion_format import CompletionChunks, CompletionStyle, text_completion
from longreach.serve.context import Context, ServerContext
from longreach.serve.generation import GenerationRequest
from longreach.serve.generations import start_all
from longreach.serve.http import JsonResponse, JsonRoute
from longreach.serve.replies import stream_answer, whole_answers
from longreach.serve.schema.completion import CompletionRequest

router = APIRouter(route_class=JsonRoute, tags=["completions"])


@router.post("/v1/completions")
@router.post("/completions")
async def completions(
    request: Request, context: Context, caller: Caller, body: CompletionRequest
) -> Response:
    """Continue one or more prompts, whole or as server-sent events."""
    context.check_model(body.model)
    request_id = f"cmpl-{uuid.uuid4().hex}"
    wanted = await completion_generations(context, body, request_id)
    style = _style(context, body, request_id, wanted)
    generations = await start_all(context, caller, wanted)
    if body.stream:
        return await stream_answer(request, context, generations, CompletionChunks(style).of)
    return JsonResponse(text_completion(style, await whole_answers(request, generations)))


def _style(
    context: ServerContext,
    body: CompletionRequest,
    request_id: str,
    wanted: Sequence[GenerationRequest],
) -> CompletionStyle:
    tokenizer = context.engine.tokenizer
    return CompletionStyle(
        id=request_id,
        model=context.check_model(body.model),
        fingerprint=context.fingerprint,
        tokenizer=tokenizer,
        prompts=[each.token_ids for each in wanted],
        texts=[
            prompt
            if isinstance(prompt, str)
            else tokenizer.decode(prompt, skip_special_tokens=False)
            for prompt in (prompts_of(body) if body.echo else ())
        ],
        n=body.n or 1,
        num_logprobs=body.logprobs,
        echo=body.echo,
        only_echo=body.max_tokens == 0,
        tell_prompt=body.prompt_logprobs is not None,
        usage=body.wants_usage,
        progress=body.return_progress,
    )
