"""Tool calls out of a model's text as it comes: the Hermes format, as Qwen2.5 writes it.

    <tool_call>
    {"name": "find", "arguments": {"text": "key"}}
    </tool_call>

Arguments are handed on while they are written. What looks like a call and is none comes out as
content, to the character. Read as models write: keys in any order, "parameters" for "arguments",
arguments quoted as a JSON string or left out, a code fence around the object, several objects in
one tag, a closing tag or brace forgotten, or one too many.
"""

from __future__ import annotations

import re

from longreach.text.cursor import Cursor, Reading
from longreach.text.tools.call_text import CallDraft, MalformedCallError, read_call
from longreach.text.tools.events import (
    ArgumentsDelta,
    CallEnded,
    CallStarted,
    Content,
    Event,
    joined,
)

OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"

_NO_TAG = re.compile(r"[^<]*")
_SPACE = re.compile(r"\s*")
_SPACE_OR_BRACE = re.compile(r"[\s}]*")
_LANGUAGE = re.compile(r"[a-z]*")


class ToolCallScanner:
    """Takes an output in pieces and gives out what is certain.

    However the text is cut, the calls and the joined content are the same. The content is the
    text without its calls; once there is a call, also without whitespace at its end, and, where
    the call comes before all content, at its beginning. So an output of calls alone has none.
    """

    def __init__(self) -> None:
        self._cursor = Cursor()
        self._events: list[Event] = []
        self._num_calls = 0
        self._space = ""  # content if more content follows
        self._has_content = False
        self._is_cut = False
        self._parser = self._scan()

    @property
    def num_calls(self) -> int:
        """Calls started so far."""
        return self._num_calls

    def feed(self, text: str) -> list[Event]:
        """What is new and final after this piece. Held back: what may become a tag or a call."""
        self._cursor.add(text)
        return self._advance()

    def finish(self, *, is_cut: bool = False) -> list[Event]:
        """The rest, once no more text comes.

        is_cut: more would have come. What may have become a call is no content then, and no call
        either before its arguments begin.
        """
        self._is_cut = is_cut
        self._cursor.end()
        return self._advance()

    def _advance(self) -> list[Event]:
        next(self._parser, None)
        events, self._events = self._events, []
        return list(joined(events))

    def _scan(self) -> Reading[None]:
        while (yield from self._text()):
            yield from self._tag()
        if self._space and not self._num_calls:
            self._events.append(Content(self._space))

    def _text(self) -> Reading[bool]:
        """Read content and the tag that ends it; False where the text ends without one."""
        while True:
            yield from self._cursor.run(_NO_TAG, self._content)
            if not (yield from self._cursor.peek()):
                return False
            if (yield from self._cursor.accept(OPEN_TAG)):
                return True
            self._content((yield from self._cursor.take()))

    def _content(self, text: str) -> None:
        text = self._space + text
        visible = text.rstrip()
        self._space = text[len(visible) :]
        if visible and self._num_calls and not self._has_content:
            visible = visible.lstrip()
        if visible:
            self._has_content = True
            self._events.append(Content(visible))

    def _tag(self) -> Reading[None]:
        """What stands behind an opening tag: calls, or text like any other."""
        self._cursor.mark()
        yield from self._skip_fence()
        if not (yield from self._call()):
            if not (yield from self._was_cut()):
                self._cursor.rewind()
                self._content(OPEN_TAG)
            return
        while (yield from self._another_call()):
            pass
        yield from self._close_tag()

    def _another_call(self) -> Reading[bool]:
        self._cursor.mark()
        yield from self._cursor.run(_SPACE_OR_BRACE, _drop)
        found = yield from self._call()
        if not found and not (yield from self._was_cut()):
            self._cursor.rewind()
        return found

    def _was_cut(self) -> Reading[bool]:
        """Whether the text was cut off at this very place."""
        return self._is_cut and not (yield from self._cursor.peek())

    def _close_tag(self) -> Reading[None]:
        """Read a closing tag and what little models put before it; where none is, nothing."""
        self._cursor.mark()
        yield from self._cursor.run(_SPACE_OR_BRACE, _drop)
        yield from self._skip_fence()
        if (yield from self._cursor.accept(CLOSE_TAG)):
            self._cursor.release()
        else:
            self._cursor.rewind()

    def _skip_fence(self) -> Reading[None]:
        yield from self._cursor.run(_SPACE, _drop)
        if (yield from self._cursor.accept("```")):
            yield from self._cursor.run(_LANGUAGE, _drop)
            yield from self._cursor.run(_SPACE, _drop)

    def _call(self) -> Reading[bool]:
        """Read one object; True when a call came of it, whole or cut off. Else the mark stays."""
        draft = CallDraft(self._start_call, self._arguments)
        try:
            yield from read_call(self._cursor, draft)
        except MalformedCallError:
            if not draft.has_started:
                return False
        self._events.append(CallEnded(self._num_calls - 1, draft.has_arguments))
        return True

    def _start_call(self, name: str) -> None:
        self._cursor.release()
        self._events.append(CallStarted(self._num_calls, name))
        self._num_calls += 1

    def _arguments(self, text: str) -> None:
        self._events.append(ArgumentsDelta(self._num_calls - 1, text))


def _drop(text: str) -> None:
    """Read past it."""
