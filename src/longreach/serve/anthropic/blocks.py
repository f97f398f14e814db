"""Blocks of a turn as the content parts of a chat message."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from longreach.serve.errors import ApiError, bad_request, echo, not_supported
from longreach.serve.schema.anthropic import (
    Block,
    Cached,
    ContentSource,
    DocumentBlock,
    FileSource,
    OtherBlock,
    PdfSource,
    PlainTextSource,
    TextBlock,
    ThinkingBlock,
    UrlSource,
)
from longreach.serve.schema.caching import Breakpoint

DEFAULT_TTL = "5m"
Placed = tuple[str, Block]
"""A block, and its path in the body."""


@dataclass
class Parts:
    """Content parts of a message, and where each stands in the client's body."""

    parts: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def add(self, part: dict[str, Any], path: str) -> None:
        """One more."""
        self.parts.append(part)
        self.paths.append(path)

    def end_prefix(self, wanted: Breakpoint) -> None:
        """What stands here so far is to be kept; an empty content ends where it begins."""
        if not self.parts:
            self.add({"type": "text", "text": ""}, "")
        self.parts[-1]["prompt_cache_breakpoint"] = wanted.model_dump()


def parts_of(blocks: Iterable[Placed]) -> Parts:
    """Texts and documents as parts. Raises ApiError for blocks that cannot stand there."""
    found = Parts()
    for where, block in blocks:
        match block:
            case TextBlock():
                found.add({"type": "text", "text": block.text}, where)
            case DocumentBlock():
                found.add(_file_part(block, where), f"{where}.source")
                if block.context:
                    found.add({"type": "text", "text": block.context}, f"{where}.context")
            case _:
                raise misplaced(block, where)
        if (wanted := breakpoint_of(block)) is not None:
            found.end_prefix(wanted)
    return found


def breakpoint_of(block: object) -> Breakpoint | None:
    """What a block's cache_control asks for."""
    control = block.cache_control if isinstance(block, Cached) else None
    return None if control is None else Breakpoint(ttl=control.ttl or DEFAULT_TTL)


def _file_part(block: DocumentBlock, where: str) -> dict[str, Any]:
    source = block.source
    part: dict[str, Any] = {"type": "input_file"}
    match source:
        case FileSource():
            return {**part, "file_id": source.file_id}
        case PdfSource():
            return {**part, "file_data": source.data, "filename": block.title or "document.pdf"}
        case PlainTextSource():
            return {**part, **_text_file(source.data, block.title)}
        case ContentSource():
            return {**part, **_text_file("".join(_texts(source)), block.title)}
        case UrlSource():
            message = f"{where}.source: nothing is fetched from the network here; send the file."
            raise bad_request(message, f"{where}.source.url", "document_url_refused")


def _texts(source: ContentSource) -> Iterator[str]:
    if isinstance(source.content, str):
        yield source.content
    else:
        yield from (f"{block.text}\n\n" for block in source.content)


def _text_file(text: str, title: str | None) -> dict[str, str]:
    """A text as a file whose name says that it is one."""
    name = title or "document"
    if PurePath(name).suffix != ".txt":
        name = f"{name}.txt"
    data = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")
    return {"file_data": data, "filename": name}


def misplaced(block: Block, where: str) -> ApiError:
    """The answer to a block that cannot stand in its turn."""
    if isinstance(block, OtherBlock):
        what = f"{where}: this model reads text only, no {echo(block.type)}."
        return not_supported(what, where)
    kind = "thinking" if isinstance(block, ThinkingBlock) else block.type
    return bad_request(f"{where}: no {kind} can stand in this turn.", where)
