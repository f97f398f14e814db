"""From a body of /v1/responses to a `GenerationRequest`, by way of a chat body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from longreach.serve.auth import Identity
from longreach.serve.chat import chat_generation
from longreach.serve.context import ServerContext
from longreach.serve.generation import GenerationRequest
from longreach.serve.prompt import prompt_of
from longreach.serve.renaming import fields_renamed
from longreach.serve.responses.items import KeptItem, messages_of
from longreach.serve.schema.chat import ChatRequest, ConversationFields, Message
from longreach.serve.schema.responses import (
    FunctionChoice,
    PromptFields,
    ResponsesRequest,
    TextFormat,
)

_NAMES = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format.json_schema": "text.format",
    "response_format": "text.format",
}
_SAME = (
    "model",
    "chat_template_kwargs",
    "enable_thinking",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "seed",
    "cache_salt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "longreach",
    "stream",
)


async def response_generation(
    context: ServerContext,
    caller: Identity,
    body: ResponsesRequest,
    items: Sequence[KeptItem],
    request_id: str,
) -> GenerationRequest:
    """What the engine is asked for. items: all of the conversation, earlier ones first.

    Raises ApiError for all that cannot be obeyed.
    """
    with fields_renamed(_NAMES):
        wanted = await chat_generation(context, caller, _chat_body(body, items), request_id)
    form = "text.format" if wanted.form_field == "response_format" else wanted.form_field
    return replace(wanted, prompt_field="input", form_field=form)


async def count_tokens(
    context: ServerContext, caller: Identity, body: PromptFields, items: Sequence[KeptItem]
) -> int:
    """Tokens of the prompt of a body."""
    conversation = ConversationFields(
        messages=_messages(body, items),
        chat_template_kwargs=body.chat_template_kwargs,
        enable_thinking=body.enable_thinking,
    )
    with fields_renamed(_NAMES):
        prompt = await prompt_of(context, caller, conversation, tools=_tools(body))
    return len(prompt.token_ids)


def _chat_body(body: ResponsesRequest, items: Sequence[KeptItem]) -> ChatRequest:
    num_logprobs = body.num_logprobs
    return ChatRequest.model_validate(
        {
            **{name: getattr(body, name) for name in _SAME},
            "messages": _messages(body, items),
            "tools": _tools(body),
            "tool_choice": _tool_choice(body),
            "parallel_tool_calls": body.parallel_tool_calls if body.tools else None,
            "max_completion_tokens": body.max_output_tokens,
            "logprobs": num_logprobs is not None,
            "top_logprobs": num_logprobs,
            "response_format": _response_format(body),
            "reasoning_effort": body.reasoning and body.reasoning.effort,
        }
    )


def _messages(body: PromptFields, items: Sequence[KeptItem]) -> list[Message]:
    messages = messages_of(items, len(body.input))
    if body.instructions:
        messages.insert(0, Message(role="system", content=body.instructions))
    return messages


def _tools(body: PromptFields) -> list[dict[str, Any]] | None:
    """Tools as the model's template shows them; none for an empty list, as some clients send."""
    return [
        {
            "type": "function",
            "function": tool.model_dump(exclude={"type", "strict"}, exclude_none=True),
        }
        for tool in body.tools or ()
    ] or None


def _tool_choice(body: PromptFields) -> str | dict[str, Any] | None:
    choice = body.tool_choice
    if isinstance(choice, FunctionChoice):
        return {"type": "function", "function": {"name": choice.name}}
    return choice if body.tools or choice == "required" else None


def _response_format(body: PromptFields) -> dict[str, Any] | None:
    wanted = body.text and body.text.format
    if not isinstance(wanted, TextFormat):
        return None
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    schema = {"name": wanted.name or "answer", "schema": wanted.schema_, "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": schema}
