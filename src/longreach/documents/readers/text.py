"""Bytes to text: byte order marks, UTF-8, then Latin-1; and the characters that never help."""

from __future__ import annotations

import codecs
import contextlib
import re

from longreach.errors import UnsupportedDocumentError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHARSET = re.compile(rb"""charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE | re.ASCII)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufeff]")
_LINE_ENDS = re.compile(r"\r\n?|[\f\x85\u2028\u2029]")
LOOKED_AT = 8192
"""So many bytes at a file's start decide whether it is text."""


def decode_text(data: bytes, name: str) -> str:
    """The text of a file, with plain line ends and without control characters.

    A byte order mark decides; else UTF-8; else Latin-1 with the Windows characters, which cannot
    fail. Raises UnsupportedDocumentError for bytes that are no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return clean(data[len(mark) :].decode(encoding, errors="replace"))
    if is_binary(data):
        advice = "give a PDF, an office file, a web page or a text file"
        raise UnsupportedDocumentError(name, "its content is not text", advice)
    try:
        return clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        return clean(data.decode("cp1252", errors="replace"))


def decode_web(data: bytes, name: str) -> str:
    """The text of a web page: the encoding that it declares counts where it is not UTF-8."""
    declared = _CHARSET.search(data[:2048])
    if declared and not data.startswith(tuple(mark for mark, _ in _MARKS)):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            with contextlib.suppress(LookupError, UnicodeError):
                return clean(data.decode(declared[1].decode("ascii"), errors="replace"))
    return decode_text(data, name)


def is_binary(data: bytes) -> bool:
    """Whether the start holds a zero byte, or is control bytes for more than a tenth."""
    head = data[:LOOKED_AT]
    odd = sum(head.count(byte) for byte in range(32) if byte not in b"\t\n\v\f\r\x1b")
    return b"\0" in head or odd > len(head) / 10


def clean(text: str) -> str:
    """Line ends are plain, control characters and lone surrogates are gone, blank ends too."""
    return _CONTROLS.sub("", _LINE_ENDS.sub("\n", text)).strip("\n").rstrip()


def safe_name(name: str) -> str:
    """A file's name on one line, without control or invisible characters, at most 200 long.

    Never empty. The end, with the extension, is kept of a name that is too long.
    """
    kept = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name).strip()
    return (kept if len(kept) <= 200 else f"{kept[:80]}…{kept[-119:]}") or "document"
