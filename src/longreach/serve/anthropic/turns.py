"""Turns of blocks as the messages of a chat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from longreach.serve.anthropic.blocks import (
    Parts,
    Placed,
    breakpoint_of,
    misplaced,
    parts_of,
)
from longreach.serve.errors import bad_request, echo
from longreach.serve.schema.anthropic import (
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
)
from longreach.serve.schema.caching import Breakpoint
from longreach.serve.schema.chat import FunctionCall, Message, ToolCallParam


def messages_of(system: str | Sequence[TextBlock] | None, turns: Sequence[Turn]) -> list[Message]:
    """The conversation. Raises ApiError: 400 for a result without its call, 501 for no text."""
    messages: list[Message] = []
    if system:
        messages.append(_message("system", parts_of(_system_blocks(system))))
    call_ids: set[str] = set()
    ended: Breakpoint | None = None
    for role, group in groupby(enumerate(turns), key=lambda numbered: numbered[1].role):
        blocks = [placed for index, turn in group for placed in _blocks(turn, f"messages[{index}]")]
        first = len(messages)
        if role == "assistant":
            messages.append(_assistant(blocks, call_ids))
        elif role == "user":
            messages += _user(blocks, call_ids)
        else:
            messages.append(_message("system", parts_of(blocks)))
        if ended is not None:
            messages[first].keep_before(ended)
        ended = _after_calls(blocks)
    return messages


def _after_calls(blocks: Iterable[Placed]) -> Breakpoint | None:
    """The end of a prefix that a call marks: no text stands there, so the next turn begins it."""
    calls = [block for _, block in blocks if isinstance(block, ToolUseBlock)]
    return next((each for each in map(breakpoint_of, reversed(calls)) if each is not None), None)


def _message(role: str, content: Parts) -> Message:
    message = Message.model_validate({"role": role, "content": content.parts})
    return message.found_at(content.paths)


def _system_blocks(system: str | Sequence[TextBlock]) -> Iterator[Placed]:
    if isinstance(system, str):
        yield "system", TextBlock(type="text", text=system)
        return
    for index, block in enumerate(system):
        yield f"system[{index}]", block


def _blocks(turn: Turn, where: str) -> Iterator[Placed]:
    if isinstance(turn.content, str):
        yield f"{where}.content", TextBlock(type="text", text=turn.content)
        return
    for index, block in enumerate(turn.content):
        yield f"{where}.content[{index}]", block


def _assistant(blocks: Sequence[Placed], call_ids: set[str]) -> Message:
    """One turn of the model: what it thought, said and called."""
    texts, thoughts, calls = [], [], []
    for where, block in blocks:
        match block:
            case TextBlock():
                texts.append((where, block))
            case ThinkingBlock():
                thoughts.append(block.thinking)
            case ToolUseBlock():
                call_ids.add(block.id)
                calls.append(_call(block))
            case _:
                raise misplaced(block, where)
    message = _message("assistant", parts_of(texts))
    message.reasoning_content = "\n".join(thoughts) or None
    message.tool_calls = calls or None
    return message


def _call(block: ToolUseBlock) -> ToolCallParam:
    arguments = json.dumps(block.input, ensure_ascii=False)
    return ToolCallParam(id=block.id, function=FunctionCall(name=block.name, arguments=arguments))


def _user(blocks: Iterable[Placed], call_ids: set[str]) -> Iterator[Message]:
    """Results of tools are turns of their own, texts between them one turn each."""
    for is_result, group in groupby(blocks, lambda placed: isinstance(placed[1], ToolResultBlock)):
        if not is_result:
            yield _message("user", parts_of(group))
            continue
        for where, block in group:
            assert isinstance(block, ToolResultBlock)
            yield _result(block, where, call_ids)


def _result(block: ToolResultBlock, where: str, call_ids: set[str]) -> Message:
    if block.tool_use_id not in call_ids:
        what = f"{where}.tool_use_id {echo(block.tool_use_id)} is of no tool_use block before it."
        raise bad_request(what, f"{where}.tool_use_id")
    content = parts_of(_result_blocks(block, where))
    if (wanted := breakpoint_of(block)) is not None:
        content.end_prefix(wanted)
    message = _message("tool", content)
    message.tool_call_id = block.tool_use_id
    return message


def _result_blocks(block: ToolResultBlock, where: str) -> Iterator[Placed]:
    """What a call gave back, a failure said in words."""
    prefix = "Error: " if block.is_error else ""
    if not isinstance(block.content, list):
        yield f"{where}.content", TextBlock(type="text", text=prefix + (block.content or ""))
        return
    for index, each in enumerate(block.content):
        path = f"{where}.content[{index}]"
        if index == 0 and isinstance(each, TextBlock):
            yield path, each.model_copy(update={"text": prefix + each.text})
        elif index == 0 and prefix:
            yield path, TextBlock(type="text", text=prefix.strip())
            yield path, each
        else:
            yield path, each
