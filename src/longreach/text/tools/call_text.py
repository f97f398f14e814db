"""The JSON object that makes a tool call, read while it comes in.

Only what decides is read strictly: that there is an object, its keys, a name, and that arguments
begin as an object does. From there on arguments are passed on as they are, up to the brace that
closes them, because they are the model's own words: a client that finds them broken can say so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from longreach.text.cursor import Cursor, Reading

_SPACE = re.compile(r"\s*")
_IN_STRING = re.compile(r'[^"\\]*')
_BETWEEN_STRINGS = re.compile(r'[^"{}\[\]<]*')
_SCALAR = re.compile(r"[-+.\w]*")

Sink = Callable[[str], object]


class MalformedCallError(ValueError):
    """Text that is no call (or no longer one). Never leaves the scanner."""


class CallDraft:
    """What is known of a call: it starts when its name and the begin of its arguments are known.

    on_start: called once with the name. on_arguments: called with arguments' text as it comes.
    """

    def __init__(self, on_start: Sink, on_arguments: Sink) -> None:
        self._on_start = on_start
        self._on_arguments = on_arguments
        self._name: str | None = None
        self._waiting: list[str] = []
        self.has_started = False
        self.has_arguments = False  # whole ones

    def set_name(self, name: str) -> None:
        """The first name counts."""
        if self._name is None:
            self._name = name
            self._start()

    def add_arguments(self, text: str) -> None:
        """The next piece of the arguments; held until the name is known."""
        self._waiting.append(text)
        self._start()

    def finish(self) -> None:
        """The object is closed. Raises MalformedCallError where it had no name."""
        if self._name is None:
            raise MalformedCallError
        if not self.has_arguments:
            self.add_arguments("{}")
            self.has_arguments = True

    def _start(self) -> None:
        if self._name is None or not self._waiting:
            return
        if not self.has_started:
            self.has_started = True
            self._on_start(self._name)
        for text in self._waiting:
            self._on_arguments(text)
        self._waiting.clear()


def read_call(cursor: Cursor, draft: CallDraft) -> Reading[None]:
    """Read one object into `draft`. Raises MalformedCallError at the first wrong character."""
    yield from _expect(cursor, "{")
    yield from cursor.run(_SPACE, _drop)
    if (yield from cursor.accept("}")):
        raise MalformedCallError
    while True:
        yield from _member(cursor, draft)
        yield from cursor.run(_SPACE, _drop)
        if not (yield from cursor.accept(",")):
            break
    yield from _expect(cursor, "}")
    draft.finish()


def _member(cursor: Cursor, draft: CallDraft) -> Reading[None]:
    key = yield from _string(cursor)
    yield from _expect(cursor, ":")
    yield from cursor.run(_SPACE, _drop)
    if key == "name":
        draft.set_name((yield from _name(cursor)))
    elif key in ("arguments", "parameters") and not draft.has_arguments:
        yield from _arguments(cursor, draft)
        draft.has_arguments = True
    else:
        yield from _value(cursor)


def _name(cursor: Cursor) -> Reading[str]:
    name = yield from _string(cursor)
    if not name:
        raise MalformedCallError
    return name


def _arguments(cursor: Cursor, draft: CallDraft) -> Reading[None]:
    begin = yield from cursor.peek()
    if begin == "{":
        yield from _object(cursor, draft.add_arguments)
    elif begin == '"':
        draft.add_arguments(_quoted_object((yield from _string(cursor))))
    elif (yield from cursor.accept("null")):
        draft.add_arguments("{}")
    else:
        raise MalformedCallError


def _object(cursor: Cursor, sink: Sink) -> Reading[None]:
    """Hand an object to `sink` as it comes, once it is sure to begin as one."""
    parts: list[str] = [(yield from cursor.take())]
    yield from cursor.run(_SPACE, parts.append)
    if (yield from cursor.peek()) not in ('"', "}"):
        raise MalformedCallError
    sink("".join(parts))
    yield from _up_to_bracket(cursor, sink)


def _quoted_object(text: str) -> str:
    """Arguments that came as a JSON string with the object in it."""
    if not text.strip():
        return "{}"
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise MalformedCallError
    return text


def _value(cursor: Cursor) -> Reading[None]:
    """Read past a value that nobody asked for."""
    begin = yield from cursor.peek()
    if begin == '"':
        yield from _quoted(cursor, _drop)
    elif begin and begin in "{[":
        yield from cursor.take()
        yield from _up_to_bracket(cursor, _drop)
    else:
        parts: list[str] = []
        yield from cursor.run(_SCALAR, parts.append)
        if not parts:
            raise MalformedCallError


def _up_to_bracket(cursor: Cursor, sink: Sink) -> Reading[None]:
    """Read through the bracket that closes the one just read."""
    depth = 1
    while depth:
        yield from cursor.run(_BETWEEN_STRINGS, sink)
        char = yield from cursor.peek()
        if char == '"':
            yield from _quoted(cursor, sink)
            continue
        if char in ("", "<"):  # no JSON has it outside strings: a tag, and a brace was forgotten
            raise MalformedCallError
        depth += 1 if char in "{[" else -1
        sink((yield from cursor.take()))


def _quoted(cursor: Cursor, sink: Sink) -> Reading[None]:
    """Read a string, quotes included, as it stands. Raises where the text ends inside it."""
    sink((yield from cursor.take()))
    while True:
        yield from cursor.run(_IN_STRING, sink)
        char = yield from cursor.take()
        if char == "\\":
            char += yield from cursor.take()
        if not char:
            raise MalformedCallError
        sink(char)
        if char == '"':
            return


def _string(cursor: Cursor) -> Reading[str]:
    """Read a string and return what it says."""
    yield from cursor.run(_SPACE, _drop)
    if (yield from cursor.peek()) != '"':
        raise MalformedCallError
    parts: list[str] = []
    yield from _quoted(cursor, parts.append)
    try:
        text: str = json.loads("".join(parts), strict=False)
        text.encode()  # half a surrogate pair is no text
    except ValueError as error:
        raise MalformedCallError from error
    return text


def _expect(cursor: Cursor, char: str) -> Reading[None]:
    yield from cursor.run(_SPACE, _drop)
    if not (yield from cursor.accept(char)):
        raise MalformedCallError


def _drop(text: str) -> None:
    """Read past it."""
