"""One file to one Document."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from longreach.documents.limits import Limits
from longreach.documents.readers.kinds import CONVERTED, kind_of
from longreach.documents.readers.lines import cut_lines, join_lines
from longreach.documents.readers.office import read_converted
from longreach.documents.readers.pdf import read_pdf, render_pdf_page
from longreach.documents.readers.sheets import read_xlsx
from longreach.documents.readers.text import decode_text, safe_name
from longreach.documents.types import Document, Heading, Page
from longreach.errors import (
    DocumentError,
    DocumentNotFoundError,
    EmptyDocumentError,
    UnsupportedDocumentError,
)

DEFAULT_LIMITS = Limits()
_SCHEMES = ("http://", "https://", "ftp://", "file://", "data:")
Source = str | os.PathLike[str] | bytes


def read_document(
    source: Source,
    *,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    password: str | None = None,
) -> Document:
    """Read one file (a path, or its bytes with a name) into pages of text.

    name: shown instead of the path's last part; bytes without one are "document". password: of a
    PDF. Raises a DocumentError that names the file and says what to do.
    """
    data, name = _load(source, name, limits)
    if not data:
        raise EmptyDocumentError(name, "an empty file", "give a file with text in it")
    kind = kind_of(data, name)
    pages, outline = _read_pages(data, kind, name, limits, password)
    if not any(page.text for page in pages):
        raise EmptyDocumentError(name, "there is no text in it", "give a file with text in it")
    digest = hashlib.sha256(data).hexdigest()
    return Document(name=name, kind=kind, sha256=digest, pages=pages, outline=outline)


def read_text(source: Source, *, name: str | None = None, limits: Limits = DEFAULT_LIMITS) -> str:
    """The text of one file without page anchors: of a text file as it is, else page after page.

    Raises what read_document raises.
    """
    document = read_document(source, name=name, limits=limits)
    if document.kind in CONVERTED | {"pdf"}:
        return "\n\n".join(page.text for page in document.pages if page.text)
    return join_lines(document.pages)


def render_page(
    source: Source,
    number: int,
    *,
    name: str | None = None,
    scale: float = 1.5,
    limits: Limits = DEFAULT_LIMITS,
    password: str | None = None,
) -> bytes:
    """A picture of one page of a PDF (number from 1) as PNG; scale 1 is 72 dots per inch.

    Raises a DocumentError, or InvalidRequestError for a page that is not there.
    """
    data, name = _load(source, name, limits)
    if kind_of(data, name) != "pdf":
        raise UnsupportedDocumentError(name, "only a PDF has pictures of pages", "show its text")
    return render_pdf_page(data, name, number, scale=scale, password=password)


def _load(source: Source, name: str | None, limits: Limits) -> tuple[bytes, str]:
    """The bytes of a source, and the name that it goes by."""
    if isinstance(source, bytes):
        shown = safe_name(name or "document")
        limits.check_bytes(shown, len(source))
        return source, shown
    refuse_url(os.fspath(source))
    path = Path(source)
    shown = safe_name(name or path.name or str(path))
    try:
        return _read_file(path, shown, limits), shown
    except FileNotFoundError:
        problem = f"no such file: {safe_name(str(path))}"
        raise DocumentNotFoundError(shown, problem, "check the path") from None
    except (OSError, ValueError) as error:
        if isinstance(error, DocumentError):
            raise
        problem = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise DocumentError(shown, problem, "check the path and its permissions") from error


def _read_file(path: Path, shown: str, limits: Limits) -> bytes:
    """At most one byte more than the limit is read, even of a file that grows."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise UnsupportedDocumentError(shown, "a folder", "read it with read_paths")
    if not stat.S_ISREG(status.st_mode):
        raise UnsupportedDocumentError(shown, "not a regular file", "save its content to a file")
    limits.check_bytes(shown, status.st_size)
    with path.open("rb") as file:
        data = file.read(limits.max_bytes + 1)
    limits.check_bytes(shown, len(data))
    return data


def refuse_url(text: str) -> None:
    """Raises UnsupportedDocumentError for what would have to be fetched."""
    if text.lower().startswith(_SCHEMES):
        problem = "a URL; nothing is fetched from the network"
        raise UnsupportedDocumentError(safe_name(text), problem, "download it and give the file")


def _read_pages(
    data: bytes, kind: str, name: str, limits: Limits, password: str | None
) -> tuple[tuple[Page, ...], tuple[Heading, ...]]:
    if kind == "pdf":
        return read_pdf(data, name, limits, password)
    if kind == "xlsx":
        return read_xlsx(data, name, limits), ()
    if kind in CONVERTED:
        return read_converted(data, kind, name, limits), ()
    text = decode_text(data, name)
    limits.check_chars(name, len(text))
    return cut_lines(text), ()
