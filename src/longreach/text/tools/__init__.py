"""Tool calls as text: found in outputs, and forced by a grammar."""

from longreach.text.tools.events import (
    ArgumentsDelta,
    CallEnded,
    CallStarted,
    Content,
    Event,
    make_call_id,
)
from longreach.text.tools.forced import forced_calls_grammar
from longreach.text.tools.scanner import ToolCallScanner

__all__ = [
    "ArgumentsDelta",
    "CallEnded",
    "CallStarted",
    "Content",
    "Event",
    "ToolCallScanner",
    "forced_calls_grammar",
    "make_call_id",
]
