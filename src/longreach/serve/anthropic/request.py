"""From a body of /v1/messages to a `GenerationRequest`, by way of a chat body."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from longreach.serve.anthropic.breakpoints import check_breakpoints, place_breakpoints
from longreach.serve.anthropic.turns import messages_of
from longreach.serve.auth import Identity
from longreach.serve.chat import chat_generation
from longreach.serve.context import ServerContext
from longreach.serve.errors import bad_request
from longreach.serve.generation import GenerationRequest
from longreach.serve.prompt import prompt_of
from longreach.serve.renaming import fields_renamed
from longreach.serve.schema.anthropic import CountRequest, MessagesRequest, ToolChoice
from longreach.serve.schema.chat import ChatRequest, ConversationFields

_NAMES = {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


async def message_generation(
    context: ServerContext, caller: Identity, body: MessagesRequest, request_id: str
) -> GenerationRequest:
    """What the engine is asked for. Raises ApiError for all that cannot be obeyed."""
    config = body.output_config
    chat = ChatRequest.model_validate(
        {
            **_conversation(body),
            **_tool_fields(body),
            "model": body.model,
            "max_completion_tokens": body.max_tokens,
            "stop": body.stop_sequences,
            "temperature": body.temperature,
            "top_p": body.top_p,
            "top_k": body.top_k,
            "response_format": _response_format(body),
            "longreach": body.longreach,
            "reasoning_effort": _effort(config.effort if config else None),
        }
    )
    with fields_renamed(_NAMES):
        wanted = await chat_generation(context, caller, chat, request_id)
    is_form = wanted.form_field == "response_format"
    return replace(wanted, form_field="output_config.format" if is_form else wanted.form_field)


async def count_tokens(context: ServerContext, caller: Identity, body: CountRequest) -> int:
    """Tokens of the prompt that a body makes."""
    conversation = ConversationFields.model_validate(_conversation(body))
    prompt = await prompt_of(context, caller, conversation, tools=_tools(body))
    return len(prompt.token_ids)


def _conversation(body: CountRequest) -> dict[str, Any]:
    """What decides the prompt, apart from tools. A last turn of the assistant is continued."""
    check_breakpoints(body)
    messages = messages_of(body.system, body.messages)
    place_breakpoints(body, messages)
    continues = messages[-1].role == "assistant"
    if continues and (messages[-1].tool_calls or not messages[-1].content):
        message = "The last turn is the assistant's: it can be continued only where it is text."
        raise bad_request(message, f"messages[{len(body.messages) - 1}]")
    fields: dict[str, Any] = {"messages": messages, "continue_final_message": continues}
    if body.thinking is not None:
        fields["enable_thinking"] = body.thinking.type != "disabled"
    return fields


def _tools(body: CountRequest) -> list[dict[str, Any]] | None:
    tools = []
    for tool in body.tools or ():
        function: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            function["description"] = tool.description
        tools.append(
            {"type": "function", "function": {**function, "parameters": tool.input_schema}}
        )
    return tools or None


def _tool_fields(body: CountRequest) -> dict[str, Any]:
    choice = body.tool_choice
    fields: dict[str, Any] = {"tools": _tools(body)}
    if choice is None or (choice.type in ("auto", "none") and not body.tools):
        return fields
    fields["tool_choice"] = _tool_choice(choice)
    if choice.disable_parallel_tool_use:
        fields["parallel_tool_calls"] = False
    return fields


def _tool_choice(choice: ToolChoice) -> str | dict[str, Any]:
    if (choice.type == "tool") != (choice.name is not None):
        raise bad_request("tool_choice.name is given with type tool, and only then.", "tool_choice")
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return _CHOICES[choice.type]


def _response_format(body: CountRequest) -> dict[str, Any] | None:
    wanted = body.output_config.format if body.output_config else None
    if wanted is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted.schema_}}


def _effort(effort: str | None) -> str | None:
    return "xhigh" if effort == "max" else effort
