"""What a model's output is made of: content and tool calls, in pieces."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Content:
    """Text that belongs to no call."""

    text: str


@dataclass(frozen=True)
class CallStarted:
    """A call whose name is known. index: counts the calls of one output from 0."""

    index: int
    name: str


@dataclass(frozen=True)
class ArgumentsDelta:
    """The next characters of a call's arguments, a JSON object as the model writes it."""

    index: int
    text: str


@dataclass(frozen=True)
class CallEnded:
    """No more arguments come. is_complete: the object was closed, and not cut off."""

    index: int
    is_complete: bool


Event: TypeAlias = Content | CallStarted | ArgumentsDelta | CallEnded


def make_call_id() -> str:
    """A fresh id of a tool call: "call_" and 24 hexadecimal digits."""
    return f"call_{secrets.token_hex(12)}"


def joined(events: Iterable[Event]) -> Iterator[Event]:
    """The same events with neighbouring texts of one kind put together."""
    for (kind, index), group in itertools.groupby(events, _kind):
        if kind is Content:
            yield Content("".join(event.text for event in group if isinstance(event, Content)))
        elif kind is ArgumentsDelta:
            parts = (event.text for event in group if isinstance(event, ArgumentsDelta))
            yield ArgumentsDelta(index, "".join(parts))
        else:
            yield from group


def _kind(event: Event) -> tuple[type[Event], int]:
    return type(event), -1 if isinstance(event, Content) else event.index
