"""Items: the turns of a conversation as /v1/responses has them, given, kept and rendered."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from longreach.serve.conversation import part_text
from longreach.serve.errors import bad_request, echo
from longreach.serve.schema.chat import FunctionCall, Message, ToolCallParam
from longreach.serve.schema.documents import is_file
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
            parts = _parts(item.content, f"{where}.content")
            if item.role == "assistant":
                text = _joined(parts, f"{where}.content")
                parts = [{"type": "output_text", "text": text, "annotations": []}]
            body: dict[str, Any] = {"role": item.role, "content": parts}
        case FunctionCallItem():
            body = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        case FunctionOutputItem():
            output = item.output
            if not isinstance(output, str):
                output = _parts(output, f"{where}.output")
            body = {"call_id": item.call_id, "output": output}
        case ReasoningItem():
            thoughts = [part.model_dump() for part in item.content or ()]
            body = {"summary": [], "content": thoughts}
    return {**head, "status": "completed", **body}


def _parts(content: Content, where: str) -> list[dict[str, Any]]:
    """Texts as `input_text`, files as they came."""
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    return [_part(part, f"{where}[{index}]") for index, part in enumerate(content)]


def _part(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    if is_file(part):
        return dict(part)
    kept = {name: part[name] for name in ("prompt_cache_breakpoint",) if name in part}
    return {"type": "input_text", "text": part_text(part, where), **kept}


def _joined(parts: Sequence[Mapping[str, Any]], where: str = "") -> str:
    return "\n".join(part_text(part, f"{where}[{i}]") for i, part in enumerate(parts))


def messages_of(items: Sequence[KeptItem], num_new: int) -> list[Message]:
    """The conversation that items make. num_new: how many of them came with this request.

    Reasoning, text and calls that follow one another are one turn of the assistant, as the model
    wrote them: rendered again, they are the text that is in the prefix cache.
    Raises ApiError 400 for the output of a call that was not made.
    """
    messages: list[Message] = []
    call_ids: set[str] = set()
    for index, item in enumerate(items, start=num_new - len(items)):
        where = f"input[{index}]" if index >= 0 else "previous_response_id"
        match item["type"]:
            case "message":
                _add_message(messages, item, where)
            case "reasoning":
                thoughts = "".join(part["text"] for part in item["content"])
                _new_turn(messages).reasoning_content = thoughts
            case "function_call":
                call_ids.add(item["call_id"])
                _add_call(messages, item)
            case "function_call_output":
                _check_call(item["call_id"], call_ids)
                output = item["output"]
                message = Message(role="tool", tool_call_id=item["call_id"], content=output)
                messages.append(message.found_at(_paths(output, f"{where}.output")))
    return messages


def _paths(content: Content, where: str) -> list[str]:
    """Where the parts of a content stand."""
    if isinstance(content, str):
        return []
    return [f"{where}[{number}]" for number in range(len(content))]


def _add_message(messages: list[Message], item: KeptItem, where: str) -> None:
    content = item["content"]
    if item["role"] != "assistant":
        message = Message(role=item["role"], content=content)
        messages.append(message.found_at(_paths(content, f"{where}.content")))
        return
    text = "".join(part["text"] for part in content)
    last = messages[-1] if messages else None
    if last is not None and last.role == "assistant" and not (last.content or last.tool_calls):
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
