"""From a conversation as clients send it to the turns that a template is given.

Files are read here, and stand as text where their part stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from longreach.documents.types import SEPARATOR
from longreach.serve.auth import Identity
from longreach.serve.context import ServerContext
from longreach.serve.errors import bad_request, not_supported
from longreach.serve.marks import Mark
from longreach.serve.schema.caching import Breakpoint
from longreach.serve.schema.chat import ConversationFields, Message
from longreach.serve.schema.documents import is_file

_ROLES = {"developer": "system", "function": "tool"}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_OTHER_PARTS = ("image", "input_image", "audio", "input_audio", "video")
_BREAKPOINT = "prompt_cache_breakpoint"


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What a template is given, and the marks in it. question: the last turn, without files."""

    turns: Sequence[Mapping[str, Any]]
    question: str = ""
    marks: Sequence[Mark] = ()


async def gather(
    context: ServerContext, caller: Identity, body: ConversationFields
) -> Conversation:
    """Read a conversation with its files.

    Raises ApiError: 400 and 404 for files, 501 for contents that are no text.
    """
    turns, marks, question = [], [], ""
    for index, message in enumerate(body.messages):
        content = _Content(index)
        if message.breakpoint_before is not None:
            content.mark(message.breakpoint_before, before_turn=True)
        await content.read(context, caller, message)
        turns.append(template_turn(message, content.text))
        marks += content.marks
        question = content.question
    return Conversation(turns=turns, question=question, marks=marks)


@dataclass
class _Content:
    """The text of a turn, part by part. turn: its index."""

    turn: int
    marks: list[Mark] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)
    _own: list[str] = field(default_factory=list)
    _length: int = 0
    _after_file: bool = False

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def question(self) -> str:
        return "\n".join(self._own)

    async def read(self, context: ServerContext, caller: Identity, message: Message) -> None:
        """All of a message's content."""
        if not isinstance(message.content, list):
            self._add(message.content or "", is_file=False)
            return
        for number, part in enumerate(message.content):
            path = message.path_of(number, f"messages[{self.turn}].content[{number}]")
            if is_file(part):
                if message.role == "assistant":
                    raise bad_request(f"{path}: an answer holds no files.", path)
                await self._add_file(context, caller, part, path)
            else:
                self._add(part_text(part, path), is_file=False)
            if (breakpoint_ := _breakpoint(part, path)) is not None:
                self.mark(breakpoint_)

    async def _add_file(
        self, context: ServerContext, caller: Identity, part: Mapping[str, Any], where: str
    ) -> None:
        attachment = await context.documents.of_part(caller.owner, part, where)
        text = attachment.document.text
        self._add(text, is_file=True)
        place = self._length - len(text)
        self.marks.append(Mark(turn=self.turn, offset=place, what=attachment))

    def _add(self, text: str, *, is_file: bool) -> None:
        """Files stand apart from what is around them, as `documents.prompt_messages` puts them."""
        if self._pieces:
            self._write(SEPARATOR if is_file or self._after_file else "\n")
        if not is_file:
            self._own.append(text)
        self._after_file = is_file
        self._write(text)

    def mark(self, what: Breakpoint, *, before_turn: bool = False) -> None:
        """Here ends a prefix that is worth keeping."""
        place = Mark(turn=self.turn, offset=self._length, what=what, before_turn=before_turn)
        self.marks.append(place)

    def _write(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)


def template_turn(message: Message, content: str) -> dict[str, Any]:
    """One turn as templates expect it. content: its text, files included."""
    turn: dict[str, Any] = {
        "role": _ROLES.get(message.role, message.role),
        "content": content,
    }
    for name in ("name", "tool_call_id", "reasoning_content"):
        if (value := getattr(message, name)) is not None:
            turn[name] = value
    calls = [call.function.model_dump() for call in message.tool_calls or ()]
    if message.function_call is not None:
        calls.append(message.function_call.model_dump())
    if calls:
        turn["tool_calls"] = [{"type": "function", "function": call} for call in calls]
    return turn


def part_text(part: Mapping[str, Any] | str, where: str) -> str:
    """The text of a content part. Raises ApiError, 501 for what is no text. where: its path."""
    if isinstance(part, str):
        return part
    kind = str(part.get("type"))
    if kind in _TEXT_PARTS and isinstance(part.get("text"), str):
        return part["text"]
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return part["refusal"]
    if kind.startswith(_OTHER_PARTS):
        raise not_supported("This model reads text only, no images or audio.", where)
    raise bad_request(f"{where}: expected {{'type': 'text', 'text': ...}}.", where)


def _breakpoint(part: Mapping[str, Any] | str, where: str) -> Breakpoint | None:
    given = None if isinstance(part, str) else part.get(_BREAKPOINT)
    if given is None:
        return None
    try:
        return Breakpoint.model_validate(given)
    except ValidationError as error:
        path = f"{where}.{_BREAKPOINT}"
        expected = '{"mode": "explicit"}, and maybe a ttl such as "30m" or "12h"'
        raise bad_request(f"{path}: expected {expected}.", path) from error
