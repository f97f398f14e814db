"""Items: the turns of a conversation as /v1/responses has them, given, kept and rendered."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, TypeAlias

from longreach.serve.conversation import part_text
from longreach.serve.errors import bad_request, echo
from longreach.serve.schema.chat import FunctionCall, Message, ToolCallParam
from longreach.serve.schema.responses import (
    Content,
    FunctionCallItem,
    FunctionOutputItem,
    Item,
    MessageItem,
    ReasoningItem,
)

KeptItem: TypeAlias = dict[str, Any]
"""An item as clients read it: with its id, and its contents as parts."""
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}


def make_id(kind: str) -> str:
    """A fresh id of an item of this type."""
    return f"{_PREFIXES[kind]}_{uuid.uuid4().hex}"


def kept_items(items: Sequence[Item]) -> list[KeptItem]:
    """The items of a request as they are stored and listed.

    Raises ApiError 400 and 501 for contents that are no text.
    """
    return [_kept(item, f"input[{index}]") for index, item in enumerate(items)]


def _kept(item: Item, where: str) -> KeptItem:
    kind = item.type
    head = {"id": item.id or make_id(kind), "type": kind}
    match item:
        case MessageItem():
            content = _text(item.content, f"{where}.content")
            part: dict[str, Any] = {"type": "input_text", "text": content}
            if item.role == "assistant":
                part = {"type": "output_text", "text": content, "annotations": []}
            body: dict[str, Any] = {"role": item.role, "content": [part]}
        case FunctionCallItem():
            body = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        case FunctionOutputItem():
            body = {"call_id": item.call_id, "output": _text(item.output, f"{where}.output")}
        case ReasoningItem():
            parts = [part.model_dump() for part in item.content or ()]
            body = {"summary": [], "content": parts}
    return {**head, "status": "completed", **body}


def _text(content: Content, where: str) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part_text(part, f"{where}[{i}]") for i, part in enumerate(content))


def messages_of(items: Sequence[KeptItem]) -> list[Message]:
    """The conversation that items make.

    Reasoning, text and calls that follow one another are one turn of the assistant, as the model
    wrote them: rendered again, they are the text that is in the prefix cache.
    Raises ApiError 400 for the output of a call that was not made.
    """
    messages: list[Message] = []
    call_ids: set[str] = set()
    for item in items:
        match item["type"]:
            case "message":
                _add_message(messages, item)
            case "reasoning":
                _new_turn(messages).reasoning_content = _joined(item)
            case "function_call":
                call_ids.add(item["call_id"])
                _add_call(messages, item)
            case "function_call_output":
                _check_call(item["call_id"], call_ids)
                messages.append(
                    Message(role="tool", tool_call_id=item["call_id"], content=item["output"])
                )
    return messages


def _joined(item: KeptItem) -> str:
    return "".join(part["text"] for part in item["content"])


def _add_message(messages: list[Message], item: KeptItem) -> None:
    text = _joined(item)
    last = messages[-1] if messages else None
    if item["role"] != "assistant":
        messages.append(Message(role=item["role"], content=text))
    elif last is not None and last.role == "assistant" and not (last.content or last.tool_calls):
        last.content = text
    else:
        _new_turn(messages).content = text


def _add_call(messages: list[Message], item: KeptItem) -> None:
    function = FunctionCall(name=item["name"], arguments=item["arguments"])
    call = ToolCallParam(id=item["call_id"], function=function)
    last = messages[-1] if messages else None
    turn = last if last is not None and last.role == "assistant" else _new_turn(messages)
    turn.tool_calls = [*(turn.tool_calls or ()), call]


def _new_turn(messages: list[Message]) -> Message:
    messages.append(Message(role="assistant"))
    return messages[-1]


def _check_call(call_id: str, known: set[str]) -> None:
    if call_id not in known:
        raise bad_request(
            f"No tool call found for the output with call_id {echo(call_id)}.", "input"
        )
