"""Tool calls as text: found in outputs, forced by a grammar, shown again as history."""

from longreach.text.tools.calls import ParsedOutput, ToolCall, make_call_id, parse_tool_calls
from longreach.text.tools.events import ArgumentsDelta, CallEnded, CallStarted, Content, Event
from longreach.text.tools.forced import forced_calls_grammar
from longreach.text.tools.history import template_messages
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
    "forced_calls_grammar",
    "make_call_id",
    "parse_tool_calls",
    "template_messages",
]
