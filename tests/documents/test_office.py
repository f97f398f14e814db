"""Word, PowerPoint, Excel, EPUB, web pages, CSV."""

import datetime as dt
import socket
import sys

import pytest

from longreach.documents import Limits, read_document
from longreach.errors import (
    BrokenDocumentError,
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    UnsupportedDocumentError,
)
from support.office_files import (
    archive,
    docx_of,
    epub_of,
    paragraph,
    pptx_of,
    word_table,
    xlsx_of,
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever connects anywhere fails the test."""

    def refuse(*args):
        raise AssertionError(f"a connection: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_docx():
    """Headings, characters as written, tables; anchored by lines of the Markdown."""
    body = paragraph("The_Title *here*", "Heading1") + paragraph("Pay 5 % &amp; more.")
    body += word_table([["part", "price"], ["bolt", "3"]])
    document = read_document(docx_of(body), name="offer.docx")
    assert document.kind == "docx"
    assert document.text == (
        "Document: offer.docx\n\n[lines 1-8]\n# The_Title *here*\n\nPay 5 % & more.\n\n"
        "|  |  |\n| --- | --- |\n| part | price |\n| bolt | 3 |"
    )


def test_pptx():
    """A slide is a page."""
    document = read_document(pptx_of(("One", "a\nb"), ("Two", "c")), name="talk.pptx")
    assert document.text == ("Document: talk.pptx\n\n[page 1]\n# One\na\nb\n\n[page 2]\n# Two\nc")


def test_xlsx():
    """A table per sheet; empty rows are left out, whole numbers and days are plain."""
    rows = [["name", "n"], [None, None], ["a|b", 3.0], ["x", 2.5, dt.date(2020, 1, 2)]]
    document = read_document(xlsx_of(Prices=rows, Other=[["only\ncell"]]), name="a.xlsx")
    assert document.text == (
        "Document: a.xlsx\n\n[lines 1-11]\n## Prices\n\n| name | n |\n| --- | --- |\n"
        "| a\\|b | 3 |\n| x | 2.5 | 2020-01-02 |\n\n## Other\n\n| only cell |\n| --- |"
    )


def test_xlsx_with_a_far_cell():
    """A cell in the last corner of the grid costs its own row, not the grid."""
    import io

    import openpyxl

    book = openpyxl.Workbook()
    book.active["XFD1048576"] = "far"
    data = io.BytesIO()
    book.save(data)
    document = read_document(data.getvalue(), name="a.xlsx")
    assert document.pages[-1].text.rstrip().endswith("|")
    assert "far |" in document.text


def test_epub():
    """Chapters in the order of the book."""
    document = read_document(
        epub_of("A Book", "<h1>One</h1><p>a</p>", "<h1>Two</h1>"), name="b.epub"
    )
    assert document.kind == "epub"
    assert document.pages[0].text == "**Title:** A Book\n\n# One\n\na\n\n# Two"


def test_html():
    """Text and links; no script, no style, no bytes of pictures."""
    page = (
        "<html><head><title>x</title><style>p{}</style></head><body><h1>Head</h1>"
        "<script>alert(1)</script><p>snake_case <b>bold</b></p>"
        '<img alt="a tree" src="data:image/png;base64,QUJD"><img src="https://example.org/x.png">'
        '<a href="https://example.org/">link</a></body></html>'
    )
    text = read_document(page.encode(), name="a.html").pages[0].text
    assert text.startswith("# Head\n\nsnake_case **bold**\n\n[a tree]")
    assert "[link](https://example.org/)" in text
    assert "alert" not in text
    assert "base64" not in text


def test_html_by_content():
    """A page without a telling name is known by its first words."""
    assert read_document(b"<!DOCTYPE html><p>x</p>", name="index").kind == "html"


def test_deep_html():
    """Nested beyond what recursion bears: its text all the same."""
    document = read_document(b"<div>" * 5000 + b"bottom", name="a.html")
    assert document.pages[0].text == "bottom"


def test_csv():
    """As it is, line by line."""
    document = read_document(b"a,b\r\n1,2\r\n", name="t.csv")
    assert (document.kind, document.text) == ("csv", "Document: t.csv\n\n[lines 1-2]\na,b\n1,2")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: docx_of(paragraph("x")), "a.docx"),
        (lambda: pptx_of(("x", "y")), "a.pptx"),
        (lambda: xlsx_of(x=[["y"]]), "a.xlsx"),
        (lambda: epub_of("x", "y"), "a.epub"),
    ],
    ids=["docx", "pptx", "xlsx", "epub"],
)
class TestEveryKind:
    def test_content_decides(self, make, name):
        """A wrong extension misleads nobody; the same bytes are the same text."""
        data = make()
        document = read_document(data, name="renamed.txt")
        assert document.kind == name.split(".")[1]
        assert document == read_document(data, name="renamed.txt")

    def test_cut_off(self, make, name):
        """Without its end an archive has no directory."""
        with pytest.raises(BrokenDocumentError, match=rf"{name}: its zip directory"):
            read_document(make()[:-60], name=name)

    def test_damaged(self, make, name):
        """Bytes changed inside are found by a checksum or by a parser: never a crash."""
        data = bytearray(make())
        for at in range(40, len(data) // 2, 7):
            data[at] ^= 0x55
        with pytest.raises((BrokenDocumentError, UnsupportedDocumentError, EncryptedDocumentError)):
            read_document(bytes(data), name=name)

    def test_missing_package(self, make, name, monkeypatch):
        """Without the reader's package, the command that installs it."""
        data = make()
        for package in ("openpyxl", "markitdown", "markitdown.converters"):
            monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UnsupportedDocumentError, match=r"longreach\[documents\]"):
            read_document(data, name=name)


def test_zip_bomb():
    """Known by its directory; nothing is unpacked."""
    bomb = archive({"[Content_Types].xml": "", "word/document.xml": b"\0" * (40 << 20)})
    assert len(bomb) < 100_000
    with pytest.raises(DocumentTooLargeError, match=r"unpacked bytes per packed byte.*zip bomb"):
        read_document(bomb, name="a.docx")


def test_unpacked_size():
    """However well it is packed: above the limit it is refused, with both numbers."""
    data = archive({"[Content_Types].xml": "", "word/document.xml": "x" * 2000})
    with pytest.raises(DocumentTooLargeError, match=r"size in bytes 2,000 is above .* 1,000"):
        read_document(data, name="a.docx", limits=Limits(max_unpacked_bytes=1000))


def test_a_directory_that_lies():
    """An entry that unpacks to more than the directory says is not unpacked further."""
    honest = docx_of(paragraph("x" * 5000))
    size = next(e for e in entries(honest) if e.filename == "word/document.xml").file_size
    at = honest.rindex(b"word/document.xml") - 46
    assert int.from_bytes(honest[at + 24 : at + 28], "little") == size
    lying = honest[: at + 24] + (10).to_bytes(4, "little") + honest[at + 28 :]
    with pytest.raises(BrokenDocumentError, match=r"a\.docx"):
        read_document(lying, name="a.docx")


def entries(data):
    from longreach.documents.readers.archive import read_directory

    return read_directory(data, "x")


def test_entities():
    """Entities that multiply end in an error; those that name a file bring nothing of it."""
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = docx_of(paragraph("&l11;"), f'<!DOCTYPE x [<!ENTITY l0 "lol">{lol}]>')
    with pytest.raises(BrokenDocumentError, match=r"a\.docx"):
        read_document(bomb, name="a.docx")
    thief = docx_of(
        paragraph("before &f; after"), '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    )
    try:
        text = read_document(thief, name="a.docx").text
    except BrokenDocumentError:
        return
    assert "root:" not in text


def test_no_text_in_it():
    """An office file without a word is empty, and says so."""
    with pytest.raises(EmptyDocumentError, match=r"a\.docx: there is no text in it"):
        read_document(docx_of(""), name="a.docx")


@pytest.mark.parametrize(
    ("data", "name", "error", "words"),
    [
        (archive({"a.txt": "x"}), "a.zip", UnsupportedDocumentError, "unpack it"),
        (b"\x1f\x8b\x08rest", "a.gz", UnsupportedDocumentError, "a gzip archive"),
        (b"\x89PNG\r\n\x1a\n", "a.png", UnsupportedDocumentError, "a PNG picture"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old", "a.doc", UnsupportedDocumentError, "before 2007"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "a.docx",
            EncryptedDocumentError,
            "behind a password",
        ),
        (b"hello", "a.docx", BrokenDocumentError, "named .docx, but its content"),
        (b"hello", "a.pdf", BrokenDocumentError, "named .pdf, but its content"),
    ],
    ids=["zip", "gzip", "png", "doc", "encrypted", "no-docx", "no-pdf"],
)
def test_refused(data, name, error, words):
    """What cannot be read says what it is, and what to do."""
    with pytest.raises(error, match=words) as caught:
        read_document(data, name=name)
    assert str(caught.value).startswith(f"{name}: ")
    assert caught.value.advice


def test_an_archive_behind_a_password():
    """The flag of an encrypted entry is enough."""
    data = bytearray(docx_of(paragraph("x")))
    at = data.rindex(b"word/document.xml") - 46
    data[at + 8] |= 1
    with pytest.raises(EncryptedDocumentError, match=r"without a password"):
        read_document(bytes(data), name="a.docx")
