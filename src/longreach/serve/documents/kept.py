"""What was read of a stored file, kept beside it: after a restart a list of books is there at once.

It says no more than the file does, and goes with it.
"""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from longreach import __version__
from longreach.documents import Document, Heading, Page
from longreach.serve.files.storage import write_whole


def save_document(path: Path, document: Document) -> None:
    """Keep it, for this version of the readers. Raises OSError."""
    data = orjson.dumps({"version": __version__, "document": asdict(document)})
    write_whole(path, io.BytesIO(data))


def load_document(path: Path) -> Document | None:
    """What is kept there; None where nothing is, or what another version has read."""
    try:
        kept = orjson.loads(path.read_bytes())
        return _document(kept["document"]) if kept["version"] == __version__ else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _document(fields: dict[str, Any]) -> Document:
    pages = tuple(Page(**page) for page in fields["pages"])
    outline = tuple(Heading(**heading) for heading in fields["outline"])
    return Document(**{**fields, "pages": pages, "outline": outline})
