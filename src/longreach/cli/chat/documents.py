"""Texts that questions are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longreach.errors import InvalidRequestError


@dataclass(frozen=True)
class Document:
    """A text and what to call it."""

    name: str
    text: str


def read_document(path: str) -> Document:
    """A text file, in UTF-8; other bytes read U+FFFD. The name is its path as it was given.

    Raises OSError where it cannot be read, InvalidRequestError for a file that is no text.
    """
    data = Path(path).expanduser().read_bytes()
    if b"\0" in data[:8192]:
        raise InvalidRequestError("document", path, "a text file, and this one is binary")
    return Document(path, data.decode("utf-8", "replace"))
