"""From a conversation as clients send it to the prompt that the model's template makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from longreach.serve.context import ServerContext
from longreach.serve.errors import bad_request, not_supported, to_api_error
from longreach.serve.schema.chat import ConversationFields, Message
from longreach.text import RenderedChat

_ROLES = {"developer": "system", "function": "tool"}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_OTHER_PARTS = ("image", "input_image", "audio", "input_audio", "video", "file", "input_file")


async def encode(
    context: ServerContext,
    body: ConversationFields,
    *,
    tools: Sequence[Mapping[str, Any]] | None,
    variables: Mapping[str, Any] | None = None,
) -> list[int]:
    """Token ids of the prompt, made in a thread: a million tokens take a second.

    Raises ApiError 400 for what the template refuses, 501 for contents that are no text.
    """
    rendered = await render(context, body, tools=tools, variables=variables)
    tokenizer = context.engine.tokenizer
    try:
        return await asyncio.to_thread(tokenizer.encode_segments, rendered.segments)
    except ValueError as error:
        raise to_api_error(error) from error


async def render(
    context: ServerContext,
    body: ConversationFields,
    *,
    tools: Sequence[Mapping[str, Any]] | None,
    variables: Mapping[str, Any] | None = None,
) -> RenderedChat:
    """The prompt as text with its special tokens marked; raises as `encode` does."""
    messages = [template_message(m, f"messages[{i}]") for i, m in enumerate(body.messages)]
    options = {**template_variables(context, body), **(variables or {})}
    prompt = body.add_generation_prompt
    template = context.engine.chat_template
    try:
        return await asyncio.to_thread(
            template.render,
            messages,
            tools=tools or None,
            add_generation_prompt=not body.continue_final_message if prompt is None else prompt,
            continue_final_message=body.continue_final_message,
            **options,
        )
    except ValueError as error:
        raise to_api_error(error) from error


def template_variables(context: ServerContext, body: ConversationFields) -> dict[str, Any]:
    """What a template is told beside the conversation: the server's, then the request's."""
    given = {**context.settings.default_chat_template_kwargs, **(body.chat_template_kwargs or {})}
    if body.enable_thinking is not None:
        given["enable_thinking"] = body.enable_thinking
    taken = given.keys() & _TAKEN
    if taken:
        name = min(taken)
        raise bad_request(f"chat_template_kwargs cannot set {name}.", "chat_template_kwargs")
    return given


_TAKEN = {
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "continue_final_message",
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
}


def template_message(message: Message, where: str) -> dict[str, Any]:
    """One turn as templates expect it. where: its path, for errors."""
    content = message.content
    if isinstance(content, list):
        parts = [part_text(part, f"{where}.content[{i}]") for i, part in enumerate(content)]
        content = "\n".join(parts)
    turn: dict[str, Any] = {
        "role": _ROLES.get(message.role, message.role),
        "content": content or "",
    }
    for name in ("name", "tool_call_id", "reasoning_content"):
        if (value := getattr(message, name)) is not None:
            turn[name] = value
    calls = [call.function.model_dump() for call in message.tool_calls or ()]
    if message.function_call is not None:
        calls.append(message.function_call.model_dump())
    if calls:
        turn["tool_calls"] = [{"type": "function", "function": call} for call in calls]
    return turn


def part_text(part: Mapping[str, Any] | str, where: str) -> str:
    """The text of a content part. Raises ApiError, 501 for what is no text. where: its path."""
    if isinstance(part, str):
        return part
    kind = part.get("type")
    if kind in _TEXT_PARTS and isinstance(part.get("text"), str):
        return part["text"]
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return part["refusal"]
    if isinstance(kind, str) and kind.startswith(_OTHER_PARTS):
        raise not_supported("This model reads text only, no images, audio or files.", where)
    raise bad_request(f"{where}: expected {{'type': 'text', 'text': ...}}.", where)
