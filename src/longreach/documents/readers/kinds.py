"""Which kind of file it is: by its first bytes, then by its name."""

from __future__ import annotations

from pathlib import PurePath

from longreach.documents.readers.archive import read_directory
from longreach.errors import (
    BrokenDocumentError,
    EncryptedDocumentError,
    UnsupportedDocumentError,
)

_PICTURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"BM": "a BMP picture",
}
_ARCHIVES = {
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OFFICE = {"word/": "docx", "ppt/": "pptx", "xl/": "xlsx"}
_HTML_STARTS = (b"<!doctype html", b"<html")
_BY_SUFFIX = {".html": "html", ".htm": "html", ".xhtml": "html", ".csv": "csv", ".tsv": "csv"}
_TEXT_SUFFIXES = {"", ".txt", ".text", ".md", ".markdown", ".rst", ".log", ".tex", ".adoc", ".org"}
CONVERTED = {"docx", "pptx", "xlsx", "html", "epub"}


def kind_of(data: bytes, name: str) -> str:
    """One of "pdf", "docx", "pptx", "xlsx", "epub", "html", "csv", "code", "text".

    The content decides where it has a signature, whatever the name says. Raises
    UnsupportedDocumentError, EncryptedDocumentError (an office file behind a password) or
    BrokenDocumentError (a zip archive that cannot be opened).
    """
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith(b"PK\x03\x04"):
        return _kind_of_zip(data, name)
    if data.startswith(_OLE):
        raise _old_office(data, name)
    _refuse_signatures(data, name)
    suffix = PurePath(name).suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML_STARTS):
        return "html"
    _refuse_names(suffix, name)
    return "text" if suffix in _TEXT_SUFFIXES else "code"


def _kind_of_zip(data: bytes, name: str) -> str:
    names = [entry.filename for entry in read_directory(data, name)]
    if "META-INF/container.xml" in names:
        return "epub"
    for folder, kind in _OFFICE.items():
        if "[Content_Types].xml" in names and any(n.startswith(folder) for n in names):
            return kind
    raise UnsupportedDocumentError(
        name, "a zip archive that is no docx, pptx, xlsx or epub", "unpack it and give the folder"
    )


def _old_office(data: bytes, name: str) -> Exception:
    if "EncryptedPackage".encode("utf-16-le") in data:
        advice = "open it with its password and save it without one"
        return EncryptedDocumentError(name, "an office file behind a password", advice)
    advice = "save it as docx, xlsx, pptx or PDF"
    return UnsupportedDocumentError(name, "an office file of before 2007", advice)


def _refuse_signatures(data: bytes, name: str) -> None:
    for start, what in _PICTURES.items():
        if data.startswith(start):
            advice = "recognise its text first (for instance with ocrmypdf) and give the PDF"
            raise UnsupportedDocumentError(name, what, advice)
    for start, what in _ARCHIVES.items():
        if data.startswith(start):
            raise UnsupportedDocumentError(name, what, "unpack it and give the folder")


def _refuse_names(suffix: str, name: str) -> None:
    """A file that says it is one of these, but has not their first bytes."""
    if suffix.removeprefix(".") in {"pdf", *CONVERTED} - {"html"}:
        problem = f"named {suffix}, but its content is something else"
        raise BrokenDocumentError(name, problem, "make or download the file again")
