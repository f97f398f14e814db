"""From Ollama's bodies to a `GenerationRequest`, by way of a chat or a completions body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from longreach.serve.auth import Identity
from longreach.serve.chat import chat_generation, knows_reasoning
from longreach.serve.completion import completion_generations
from longreach.serve.context import ServerContext
from longreach.serve.errors import bad_request, not_supported
from longreach.serve.generation import GenerationRequest
from longreach.serve.renaming import fields_renamed
from longreach.serve.schema.chat import ChatRequest, FunctionCall, Message, ToolCallParam
from longreach.serve.schema.completion import CompletionRequest
from longreach.serve.schema.ollama import (
    AnswerFields,
    GenerateRequest,
    OllamaChatRequest,
    OllamaMessage,
    Options,
)

_NAMES = {
    "response_format": "format",
    "max_completion_tokens": "options.num_predict",
    "max_tokens": "options.num_predict",
    "repetition_penalty": "options.repeat_penalty",
    "reasoning_effort": "think",
}
_OPTIONS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "repeat_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}


async def chat_request(
    context: ServerContext, caller: Identity, body: OllamaChatRequest, request_id: str
) -> GenerationRequest:
    """What /api/chat asks the engine for. Raises ApiError for all that cannot be obeyed."""
    messages = [_message(message, f"messages[{i}]") for i, message in enumerate(body.messages)]
    return await _conversation(context, caller, body, messages, body.tools or None, request_id)


async def generate_request(
    context: ServerContext, caller: Identity, body: GenerateRequest, request_id: str
) -> GenerationRequest:
    """What /api/generate asks the engine for: one turn of a user, or the raw prompt."""
    _refuse_images(body.images, "images")
    if body.raw:
        return await _raw(context, body, request_id)
    messages = [Message(role="user", content=body.prompt)]
    if body.system:
        messages.insert(0, Message(role="system", content=body.system))
    wanted = await _conversation(context, caller, body, messages, None, request_id)
    return replace(wanted, prompt_field="prompt")


async def _conversation(
    context: ServerContext,
    caller: Identity,
    body: AnswerFields,
    messages: Sequence[Message],
    tools: list[dict[str, Any]] | None,
    request_id: str,
) -> GenerationRequest:
    chat = ChatRequest.model_validate(
        {
            **_drawing(context, body.options),
            **_thinking(context, body),
            "messages": messages,
            "tools": tools,
            "max_completion_tokens": _num_predict(body.options),
            "response_format": _response_format(body),
        }
    )
    with fields_renamed(_NAMES):
        return _as_ours(await chat_generation(context, caller, chat, request_id))


async def _raw(context: ServerContext, body: GenerateRequest, request_id: str) -> GenerationRequest:
    if body.system:
        raise bad_request("system has no place in a raw prompt: write it there.", "system")
    if body.think:
        raise bad_request("think needs the model's template, so raw: false.", "think")
    completion = CompletionRequest.model_validate(
        {
            **_drawing(context, body.options),
            "prompt": body.prompt,
            "response_format": _response_format(body),
        }
    )
    with fields_renamed(_NAMES):
        [wanted] = await completion_generations(context, completion, request_id)
    params = replace(wanted.params, max_tokens=_num_predict(body.options))
    return _as_ours(replace(wanted, params=params))


def _as_ours(wanted: GenerationRequest) -> GenerationRequest:
    form_field = "format" if wanted.form_field == "response_format" else wanted.form_field
    return replace(wanted, form_field=form_field)


def _message(message: OllamaMessage, where: str) -> Message:
    _refuse_images(message.images, f"{where}.images")
    calls = [
        ToolCallParam(
            id=call.id,
            function=FunctionCall(
                name=call.function.name,
                arguments=json.dumps(call.function.arguments, ensure_ascii=False),
            ),
        )
        for call in message.tool_calls or ()
    ]
    return Message(
        role=message.role,
        content=message.content,
        name=message.tool_name,
        tool_call_id=message.tool_call_id,
        reasoning_content=message.thinking,
        tool_calls=calls or None,
    )


def _refuse_images(images: Sequence[str] | None, where: str) -> None:
    if images:
        raise not_supported(f"{where}: this model reads text only.", where)


def _drawing(context: ServerContext, options: Options | None) -> dict[str, Any]:
    if options is None:
        return {}
    limit = context.engine.max_model_len
    if options.num_ctx is not None and options.num_ctx > limit:
        message = f"options.num_ctx is {options.num_ctx}, and this server's context {limit}."
        raise bad_request(message, "options.num_ctx")
    return {new: getattr(options, old) for old, new in _OPTIONS.items()}


def _num_predict(options: Options | None) -> int | None:
    """Most tokens of the answer; None as far as the context allows."""
    wanted = None if options is None else options.num_predict
    if wanted == 0:
        raise bad_request("options.num_predict is 0: expected 1 or more, or -1.", "options")
    return None if wanted is None or wanted < 0 else wanted


def _thinking(context: ServerContext, body: AnswerFields) -> dict[str, Any]:
    if body.think and not knows_reasoning(context):
        raise bad_request(f'"{body.model}" does not support thinking', "think")
    if isinstance(body.think, str):
        return {"reasoning_effort": body.think}
    return {"enable_thinking": body.think}


def _response_format(body: AnswerFields) -> dict[str, Any] | None:
    if not body.format:
        return None
    if body.format == "json":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": body.format}}
