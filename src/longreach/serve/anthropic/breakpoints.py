"""Where `cache_control` stands in a body: on tools, system, blocks, or at the top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from longreach.serve.anthropic.blocks import breakpoint_of
from longreach.serve.caching import MAX_BREAKPOINTS
from longreach.serve.errors import bad_request
from longreach.serve.schema.anthropic import Cached, CountRequest, ToolResultBlock
from longreach.serve.schema.caching import Breakpoint
from longreach.serve.schema.chat import Message


def check_breakpoints(body: CountRequest) -> None:
    """Raises ApiError 400 where there are more than may be."""
    count = sum(each.cache_control is not None for each in _cached(body))
    if count > MAX_BREAKPOINTS:
        message = f"At most {MAX_BREAKPOINTS} blocks may have cache_control. Found {count}."
        raise bad_request(message, "cache_control")


def _cached(body: CountRequest) -> Iterator[Cached]:
    """Everything that may have one."""
    yield body
    yield from body.tools or ()
    yield from () if isinstance(body.system, str) else body.system or ()
    for turn in body.messages:
        for block in () if isinstance(turn.content, str) else turn.content:
            if isinstance(block, Cached):
                yield block
            if isinstance(block, ToolResultBlock) and isinstance(block.content, list):
                yield from (each for each in block.content if isinstance(each, Cached))


def place_breakpoints(body: CountRequest, messages: Sequence[Message]) -> None:
    """Put those into messages that no block of theirs has: of tools, and the one at the top.

    Templates write tools behind the system text, so what ends with either ends with both.
    """
    first = next((message for message in messages if message.role != "system"), messages[-1])
    for wanted in _of_tools(body):
        first.keep_before(wanted)
    last = breakpoint_of(body)
    if last is not None:
        messages[-1].end_prefix(last)


def _of_tools(body: CountRequest) -> Iterator[Breakpoint]:
    tools = body.tools or ()
    system = body.system if tools and isinstance(body.system, list) else []
    for each in (*tools, *system[-1:]):
        if (wanted := breakpoint_of(each)) is not None:
            yield wanted
