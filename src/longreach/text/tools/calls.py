"""Tool calls of a whole output."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import NamedTuple

from longreach.text.tools.events import ArgumentsDelta, CallStarted, Content, Event
from longreach.text.tools.scanner import ToolCallScanner


def make_call_id() -> str:
    """A fresh id of a tool call: "call_" and 24 hexadecimal digits."""
    return f"call_{secrets.token_hex(12)}"


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call. arguments: JSON text as the model wrote it, an object unless it was cut off."""

    name: str
    arguments: str
    id: str = field(default_factory=make_call_id)


class ParsedOutput(NamedTuple):
    """An output taken apart. content: None where it is made of calls alone."""

    content: str | None
    calls: tuple[ToolCall, ...]


def parse_tool_calls(text: str) -> ParsedOutput:
    """Take a whole output apart, exactly as `ToolCallScanner` does piece by piece."""
    scanner = ToolCallScanner()
    return collect([*scanner.feed(text), *scanner.finish()])


def collect(events: list[Event]) -> ParsedOutput:
    """Put the events of one output together."""
    content = "".join(event.text for event in events if isinstance(event, Content))
    calls = tuple(
        ToolCall(name=event.name, arguments=_arguments(events, event.index))
        for event in events
        if isinstance(event, CallStarted)
    )
    return ParsedOutput(content or (None if calls else ""), calls)


def _arguments(events: list[Event], index: int) -> str:
    pieces = (event for event in events if isinstance(event, ArgumentsDelta))
    return "".join(piece.text for piece in pieces if piece.index == index)
