"""Routes that run no model: tokens, templates, estimates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from longreach.serve.auth import Caller, Identity
from longreach.serve.context import Context, ServerContext
from longreach.serve.errors import bad_request, to_api_error
from longreach.serve.http import JsonResponse, JsonRoute
from longreach.serve.prompt import prompt_of, render
from longreach.serve.schema.chat import ConversationFields, CountRequest
from longreach.serve.schema.text import (
    DetokenizeRequest,
    EstimateRequest,
    PromptOrMessages,
    TokenizeRequest,
)
from longreach.serve.tooling import shown_tools

router = APIRouter(route_class=JsonRoute, tags=["text"])


@router.post("/tokenize")
async def tokenize(context: Context, caller: Caller, body: TokenizeRequest) -> JsonResponse:
    """Token ids of a prompt or of a conversation."""
    context.check_model(body.model)
    token_ids = await token_ids_of(context, caller, body)
    engine = context.engine
    answer: dict[str, Any] = {
        "count": len(token_ids),
        "max_model_len": engine.max_model_len,
        "tokens": token_ids,
    }
    if body.return_token_strs:
        answer["token_strs"] = [engine.tokenizer.decode_token(token) for token in token_ids]
    return JsonResponse(answer)


@router.post("/detokenize")
async def detokenize(context: Context, body: DetokenizeRequest) -> JsonResponse:
    """The text of token ids, special ones included."""
    context.check_model(body.model)
    engine = context.engine
    _check_ids(body.tokens, engine.vocab_size, "tokens")
    decode = engine.tokenizer.decode
    text = await asyncio.to_thread(decode, body.tokens, skip_special_tokens=False)
    return JsonResponse({"prompt": text})


def _check_ids(token_ids: Sequence[int], vocab_size: int, field: str) -> None:
    """Raise ApiError 400 that names the first id which the model does not have."""
    for position, token in enumerate(token_ids):
        if token >= vocab_size:
            where = f"{field}[{position}]"
            message = f"{where} is {token}: expected ids in [0, {vocab_size})"
            raise bad_request(message, where)


@router.post("/apply-template")
async def apply_template(context: Context, caller: Caller, body: CountRequest) -> JsonResponse:
    """The prompt that the model's template makes of a conversation."""
    context.check_model(body.model)
    rendered = await render(context, caller, body, tools=shown_tools(body))
    return JsonResponse({"prompt": rendered.text})


@router.post("/v1/chat/completions/input_tokens")
@router.post("/chat/completions/input_tokens")
async def input_tokens(context: Context, caller: Caller, body: CountRequest) -> JsonResponse:
    """How many tokens a conversation takes."""
    context.check_model(body.model)
    prompt = await prompt_of(context, caller, body, tools=shown_tools(body))
    count = len(prompt.token_ids)
    return JsonResponse({"object": "chat.completion.input_tokens", "input_tokens": count})


@router.post("/v1/estimate")
async def estimate(context: Context, caller: Caller, body: EstimateRequest) -> JsonResponse:
    """What a prompt would take now: tokens, the cached part, whether it fits, seconds, bytes."""
    model = context.check_model(body.model)
    token_ids = await token_ids_of(context, caller, body)
    try:
        found = await context.engine.estimate(
            token_ids, max_tokens=body.max_tokens, cache_salt=caller.salted(body.cache_salt)
        )
    except ValueError as error:
        raise to_api_error(error, prompt_field="prompt") from error
    return JsonResponse(
        {
            "object": "estimate",
            "model": model,
            "tokens": found.num_tokens,
            "cached_tokens": found.num_cached_tokens,
            "disk_tokens": found.num_disk_tokens,
            "max_model_len": found.max_model_len,
            "fits": found.fits,
            "seconds": found.seconds,
            "peak_bytes": found.peak_bytes,
        }
    )


async def token_ids_of(
    context: ServerContext, caller: Identity, body: PromptOrMessages
) -> Sequence[int]:
    """Ids of a prompt in any spelling. Raises ApiError unless exactly one, of the model's own ids,
    is given.
    """
    given = [name for name in ("prompt", "content", "messages") if getattr(body, name) is not None]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        message = f"Expected one of prompt, content, messages; got {got}."
        raise bad_request(message, given[1] if len(given) > 1 else "prompt")
    if body.messages is not None:
        conversation = ConversationFields.model_validate(
            {name: getattr(body, name) for name in ConversationFields.model_fields}
        )
        tools = shown_tools(conversation)
        return (await prompt_of(context, caller, conversation, tools=tools)).token_ids
    prompt = body.content if body.prompt is None else body.prompt
    if not isinstance(prompt, str):
        _check_ids(prompt or (), context.engine.vocab_size, "prompt")
        return prompt or ()
    tokenizer = context.engine.tokenizer
    try:
        return await asyncio.to_thread(
            tokenizer.encode, prompt, add_special_tokens=body.add_special_tokens
        )
    except ValueError as error:
        raise to_api_error(error, prompt_field=given[0]) from error
