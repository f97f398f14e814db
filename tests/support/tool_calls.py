"""What the scanner of tool calls finds in an output."""

from longreach.text.tools import (
    ArgumentsDelta,
    CallEnded,
    CallStarted,
    Content,
    ToolCallScanner,
)


def scan(pieces):
    """All events of an output that comes in pieces."""
    scanner = ToolCallScanner()
    events = [event for piece in pieces for event in scanner.feed(piece)]
    return events + scanner.finish()


def summary(pieces):
    """The joined content and, per call, its name, its joined arguments and whether it closed."""
    events = scan(pieces)
    content = "".join(e.text for e in events if isinstance(e, Content))
    calls = []
    for event in events:
        match event:
            case CallStarted(index, name):
                assert index == len(calls)
                calls.append([name, "", None])
            case ArgumentsDelta(index, text):
                assert index == len(calls) - 1, "calls do not interleave"
                assert text, "a delta says something"
                assert calls[index][2] is None, "nothing comes after the end"
                calls[index][1] += text
            case CallEnded(index, is_complete):
                assert index == len(calls) - 1
                calls[index][2] = is_complete
    return content, [tuple(call) for call in calls]


def calls_of(text):
    """The content, and (name, arguments) of each call."""
    content, calls = summary([text])
    return content, [(name, arguments) for name, arguments, _ in calls]
