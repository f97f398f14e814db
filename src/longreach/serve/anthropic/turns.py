"""Turns of blocks as the messages of a chat."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from longreach.serve.errors import bad_request, echo, not_supported
from longreach.serve.schema.anthropic import (
    Block,
    OtherBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
)
from longreach.serve.schema.chat import FunctionCall, Message, ToolCallParam

Placed = tuple[str, Block]
"""A block, and its path in the body."""


def messages_of(system: str | Sequence[TextBlock] | None, turns: Sequence[Turn]) -> list[Message]:
    """The conversation. Raises ApiError: 400 for a result without its call, 501 for no text."""
    messages: list[Message] = []
    if system:
        messages.append(Message(role="system", content=_system_text(system)))
    call_ids: set[str] = set()
    for role, group in groupby(enumerate(turns), key=lambda numbered: numbered[1].role):
        blocks = [placed for index, turn in group for placed in _blocks(turn, f"messages[{index}]")]
        if role == "assistant":
            messages.append(_assistant(blocks, call_ids))
        elif role == "user":
            messages += _user(blocks, call_ids)
        else:
            messages.append(Message(role="system", content=_text(blocks)))
    return messages


def _system_text(system: str | Sequence[TextBlock]) -> str:
    return system if isinstance(system, str) else "\n".join(block.text for block in system)


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
                texts.append(block.text)
            case ThinkingBlock():
                thoughts.append(block.thinking)
            case ToolUseBlock():
                call_ids.add(block.id)
                calls.append(_call(block))
            case _:
                raise _misplaced(block, where)
    return Message(
        role="assistant",
        content="\n".join(texts),
        reasoning_content="\n".join(thoughts) or None,
        tool_calls=calls or None,
    )


def _call(block: ToolUseBlock) -> ToolCallParam:
    arguments = json.dumps(block.input, ensure_ascii=False)
    return ToolCallParam(id=block.id, function=FunctionCall(name=block.name, arguments=arguments))


def _user(blocks: Iterable[Placed], call_ids: set[str]) -> Iterator[Message]:
    """Results of tools are turns of their own, texts between them one turn each."""
    for is_result, group in groupby(blocks, lambda placed: isinstance(placed[1], ToolResultBlock)):
        if not is_result:
            yield Message(role="user", content=_text(group))
            continue
        for where, block in group:
            assert isinstance(block, ToolResultBlock)
            yield _result(block, where, call_ids)


def _result(block: ToolResultBlock, where: str, call_ids: set[str]) -> Message:
    if block.tool_use_id not in call_ids:
        what = f"{where}.tool_use_id {echo(block.tool_use_id)} is of no tool_use block before it."
        raise bad_request(what, f"{where}.tool_use_id")
    content = block.content or ""
    if not isinstance(content, str):
        content = _text((f"{where}.content[{i}]", each) for i, each in enumerate(content))
    if block.is_error:
        content = f"Error: {content}"
    return Message(role="tool", tool_call_id=block.tool_use_id, content=content)


def _text(blocks: Iterable[Placed]) -> str:
    texts = []
    for where, block in blocks:
        if not isinstance(block, TextBlock):
            raise _misplaced(block, where)
        texts.append(block.text)
    return "\n".join(texts)


def _misplaced(block: Block, where: str) -> Exception:
    if isinstance(block, OtherBlock):
        what = f"{where}: this model reads text only, no {echo(block.type)}."
        return not_supported(what, where)
    return bad_request(f"{where}: no {block.type} can stand in this turn.", where)
