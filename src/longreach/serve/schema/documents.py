"""Files as content parts, and what is said about documents."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeGuard

from pydantic import Field

from longreach.serve.schema.base import Body
from longreach.serve.schema.caching import Duration

MAX_NAME = 255


class FileFields(Body):
    """Exactly one of file_id (of /v1/files) and file_data (base64, or a data URL) is obeyed."""

    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: Annotated[str, Field(max_length=MAX_NAME)] | None = None


class FilePart(Body):
    """`file` of chat completions."""

    inert: ClassVar[frozenset[str]] = frozenset({"prompt_cache_breakpoint"})

    type: Literal["file"]
    file: FileFields


class InputFilePart(FileFields):
    """`input_file` of responses. detail: of page images, of which none is looked at here."""

    inert: ClassVar[frozenset[str]] = frozenset({"prompt_cache_breakpoint"})

    type: Literal["input_file"]
    detail: Literal["auto", "low"] | None = None


class PinRequest(Body):
    """POST /v1/documents/{id}/pin. ttl: how long; None until it is unpinned."""

    ttl: Duration | None = None


class LongreachOptions(Body):
    """What only this server is asked for. attention: where in its documents the answer looked."""

    attention: bool = False


FILE_PARTS: dict[str, type[FilePart | InputFilePart]] = {
    "file": FilePart,
    "input_file": InputFilePart,
}
"""Content parts that are files, by their type."""


def is_file(part: object) -> TypeGuard[dict[str, Any]]:
    """Whether a content part, which may be anything, says that it is a file."""
    return isinstance(part, dict) and str(part.get("type")) in FILE_PARTS


def fields_of(part: dict[str, Any]) -> FileFields:
    """A part of FILE_PARTS, checked. Raises pydantic.ValidationError."""
    checked = FILE_PARTS[part["type"]].model_validate(part)
    return checked.file if isinstance(checked, FilePart) else checked
