"""Tool calls as text: found in outputs, forced by a grammar, shown again as history."""

from longreach.text.tools.calls import ParsedOutput, ToolCall, make_call_id, parse_tool_calls
from longreach.text.tools.events import ArgumentsDelta, CallEnded, CallStarted, Content, Event
from longreach.text.tools.scanner import ToolCallScanner

__all__ = [
    "ArgumentsDelta",
    "CallEnded",
    "CallStarted",
    "Content",
    "Event",
    "ParsedOutput",
    "ToolCall",
    "ToolCallScanner",
    "make_call_id",
    "parse_tool_calls",
]
