"""A small writer of PDF files (ISO 32000): lines of text in two standard fonts, and an outline.

The same pages are the same bytes: there is no date in the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

A4 = (595, 842)
FONTS = {"body": "Helvetica", "head": "Helvetica-Bold"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of text. x, y: of its start, from the lower left corner; all in points."""

    text: str
    x: float
    y: float
    size: float = 10.0
    font: str = "body"


def write_pdf(
    pages: Sequence[Sequence[Line]],
    *,
    title: str,
    outline: Sequence[tuple[str, int]] = (),
) -> bytes:
    """The bytes of a file with these pages. outline: (title, index of its page), in order.

    Characters that are not in Latin-1 become "?".
    """
    objects = [b""] * 2  # 1 catalog, 2 page tree: written when everything they name is numbered
    fonts = {name: _add(objects, _font(base)) for name, base in FONTS.items()}
    resources = " ".join(f"/{name} {number} 0 R" for name, number in fonts.items())
    kids = []
    for page in pages:
        stream = _add(objects, _stream(page))
        body = f"/Resources << /Font << {resources} >> >> /Contents {stream} 0 R"
        size = f"/MediaBox [0 0 {A4[0]} {A4[1]}]"
        kids.append(_add(objects, f"<< /Type /Page /Parent 2 0 R {size} {body} >>".encode()))
    root = _add_outline(objects, [(text, kids[index]) for text, index in outline])
    info = _add(objects, b"<< /Title " + _string(title) + b" >>")
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R{root} >>".encode()
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects[1] = f"<< /Type /Pages /Kids [{listed}] /Count {len(kids)} >>".encode()
    return _file(objects, info)


def _add(objects: list[bytes], body: bytes) -> int:
    """Its number: objects are numbered from 1."""
    objects.append(body)
    return len(objects)


def _font(base: str) -> bytes:
    kind = "/Type /Font /Subtype /Type1 /Encoding /WinAnsiEncoding"
    return f"<< {kind} /BaseFont /{base} >>".encode()


def _stream(page: Sequence[Line]) -> bytes:
    shown = [
        f"BT /{line.font} {line.size:g} Tf {line.x:g} {line.y:g} Td ".encode()
        + _string(line.text)
        + b" Tj ET"
        for line in page
    ]
    data = zlib.compress(b"\n".join(shown), 9)
    head = f"<< /Length {len(data)} /Filter /FlateDecode >>\nstream\n".encode()
    return head + data + b"\nendstream"


def _string(text: str) -> bytes:
    data = text.encode("latin-1", errors="replace")
    for special in (b"\\", b"(", b")"):
        data = data.replace(special, b"\\" + special)
    return b"(" + data + b")"


def _add_outline(objects: list[bytes], entries: Sequence[tuple[str, int]]) -> str:
    """Adds one level of entries, linked to each other; returns what the catalog says of them."""
    if not entries:
        return ""
    root = len(objects) + 1
    first, last = root + 1, root + len(entries)
    head = f"<< /Type /Outlines /First {first} 0 R /Last {last} 0 R /Count {len(entries)} >>"
    _add(objects, head.encode())
    for number, (text, page) in enumerate(entries, start=first):
        before = f" /Prev {number - 1} 0 R" if number > first else ""
        after = f" /Next {number + 1} 0 R" if number < last else ""
        links = f" /Parent {root} 0 R{before}{after} /Dest [{page} 0 R /Fit] >>"
        _add(objects, b"<< /Title " + _string(text) + links.encode())
    return f" /Outlines {root} 0 R"


def _file(objects: Sequence[bytes], info: int) -> bytes:
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(out)
    size = len(objects) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    out += f"trailer\n<< /Size {size} /Root 1 0 R /Info {info} 0 R >>\n".encode()
    return bytes(out + f"startxref\n{table}\n%%EOF\n".encode())
