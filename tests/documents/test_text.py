"""Encodings, odd characters, names."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.documents import read_document
from longreach.documents.readers.text import decode_text, decode_web, safe_name
from longreach.errors import UnsupportedDocumentError

TEXT = "Grüße, 世界\nsecond line"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_encodings(mark, encoding):
    """A byte order mark decides, and is no part of the text; without one it is UTF-8."""
    assert decode_text(mark + TEXT.encode(encoding), "a.txt") == TEXT


def test_latin_1_is_what_remains():
    """Bytes that are no UTF-8 are read as Latin-1, with the quotes that Windows adds."""
    assert decode_text("caf\xe9".encode("latin-1") + b" \x93x\x94", "a.txt") == "café “x”"


def test_line_ends_and_controls():
    """Every line end is the same; control characters and the blanks at the end are gone."""
    assert decode_text(b"a\r\nb\rc\x0bd\fe\x1b[0m\n\n \n", "a.txt") == "a\nb\ncd\ne[0m"


@pytest.mark.parametrize("data", [bytes(range(256)) * 4, b"MZ\x90\x00\x03", b"\x01\x02\x03ab"])
def test_no_text(data):
    """Bytes that are no text are refused by name, not shown as noise."""
    with pytest.raises(UnsupportedDocumentError, match=r"a\.bin: its content is not text; give"):
        decode_text(data, "a.bin")


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="iso-8859-1">', "latin-1"),
        ("<meta charset=shift_jis>", "shift_jis"),
        ("<meta charset=no-such>", "cp1252"),
        ("<meta charset=latin-1>", "utf-8"),
        ("", "utf-8"),
    ],
)
def test_web_pages(head, encoding):
    """What a page declares counts, unless it is UTF-8 after all."""
    word = "é" if encoding != "shift_jis" else "世界"
    assert decode_web(f"{head}{word}".encode(encoding), "a.html").endswith(word)


@given(st.binary(max_size=300))
def test_any_bytes(data):
    """Any bytes are text without controls that a prompt can hold, or a typed refusal."""
    try:
        text = decode_text(data, "a.txt")
    except UnsupportedDocumentError:
        return
    text.encode("utf-8")
    assert not set(text) & set(map(chr, [*range(9), 11, 12, 13, *range(14, 32), 127]))


@given(st.text(st.characters(), max_size=400))
def test_hostile_names(name):
    """Whatever a file is called: one printable line, neither empty nor long, in the text's head."""
    shown = safe_name(name)
    assert 0 < len(shown) <= 200
    assert shown.isprintable()
    document = read_document(b"some text", name=name)
    assert document.text.split("\n")[0] == f"Document: {document.name}"
    document.text.encode("utf-8")


def test_a_long_name_keeps_its_extension():
    """So that people still know what it is."""
    assert safe_name("x" * 500 + ".pdf").endswith("x.pdf")
