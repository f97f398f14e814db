"""PDF files: text, outline, pictures, and what cannot be read."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from longreach.documents import Heading, Limits, read_document, render_page
from longreach.documents.readers.pdf_text import join_hyphens, tidy_page
from longreach.errors import (
    BrokenDocumentError,
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
    InvalidRequestError,
    NoTextLayerError,
)
from longreach.evals.needle.book import make_book
from longreach.evals.needle.pdf_writer import Line, write_pdf
from support.odd_pdf import blank_pdf, encrypted_pdf, form_pdf, scanned_pdf
from support.small_pdf import small_pdf


def lines(*texts):
    return [Line(text=text, x=60, y=700 - 15 * n) for n, text in enumerate(texts)]


def test_golden_text():
    """Pages in order below their anchors, lines from top to bottom, heads and feet kept."""
    head = Line(text="A Contract", x=60, y=800)
    feet = [Line(text=str(number), x=300, y=40) for number in (1, 2)]
    body = [lines("The parties agree:", "(a) to pay \\ 5%;"), lines("Signed.")]
    pages = [[head, *text, foot] for text, foot in zip(body, feet, strict=True)]
    document = read_document(write_pdf(pages, title="x"), name="contract.pdf")
    assert document.kind == "pdf"
    assert document.text == (
        "Document: contract.pdf\n\n"
        "[page 1]\nA Contract\nThe parties agree:\n(a) to pay \\ 5%;\n1\n\n"
        "[page 2]\nA Contract\nSigned.\n2"
    )


def test_same_bytes_same_text(tmp_path):
    """Neither the folder nor a later time changes a character, so a prefix is found again."""
    data = make_book(12, seed=3).pdf
    places = [tmp_path / "a" / "book.pdf", tmp_path / "b" / "book.pdf"]
    for place in places:
        place.parent.mkdir()
        place.write_bytes(data)
    first, second = map(read_document, places)
    assert first == second == read_document(data, name="book.pdf")
    assert str(tmp_path) not in first.text


def test_words_cut_at_line_ends():
    """They are joined, unless the document writes them with a hyphen elsewhere."""
    page = lines("a well-known exam-", "ple of a well-", "known word, of Dijkstra-", "Scholten")
    document = read_document(write_pdf([page], title="x"), name="a.pdf")
    assert (
        document.pages[0].text == "a well-known example of a well-known word, of Dijkstra-Scholten"
    )


@pytest.mark.parametrize(
    ("raw", "tidy"),
    [
        ("o\ufb03ce \ufb02ow", "office flow"),
        ("a\u00a0 \u2003b\tc  ", "a b c"),
        ("zero\u200bwidth\ufeff \u202eback", "zerowidth back"),
        ("soft\u00adhyphen", "softhyphen"),
        ("cut\ufffe\r\nword", "cut-\nword"),
        ("cut\ufffeword", "cut-\nword"),
        ("one\r\ntwo\rthree\n\n\n\n\nfour", "one\ntwo\nthree\n\nfour"),
        ("\ud800x\uffff", "x"),
    ],
)
def test_characters(raw, tidy):
    """Ligatures are letters, spaces are spaces, what nobody sees is gone."""
    assert tidy_page(raw) == tidy


def test_numbers_keep_their_hyphen():
    """A year range is not a word; nor is what goes on with a capital letter."""
    assert join_hyphens(["1914-\n1918", "Smith-\nJones"]) == ["1914-1918", "Smith-Jones"]


def test_outline():
    """The file's own table of contents, with pages from 1."""
    data = write_pdf([lines("a"), lines("b")], title="x", outline=[("One", 0), ("Two", 1)])
    assert read_document(data, name="a.pdf").outline == (
        Heading(title="One", page=1, level=0),
        Heading(title="Two", page=2, level=0),
    )


def test_what_was_typed_into_a_form():
    """The values of fields are text of their page, and stand in its picture."""
    data = form_pdf("Name of the tenant:", "Erika Mustermann")
    assert (
        read_document(data, name="a.pdf").pages[0].text == "Name of the tenant:\nErika Mustermann"
    )
    assert render_page(data, 1) != render_page(form_pdf("Name of the tenant:", " "), 1)


def test_encrypted():
    """Refused without its password and with a wrong one, read with it; both say what to do."""
    data = encrypted_pdf(small_pdf("secret words"), "sesame")
    with pytest.raises(EncryptedDocumentError, match=r"a\.pdf: encrypted; give its password, or"):
        read_document(data, name="a.pdf")
    with pytest.raises(EncryptedDocumentError, match=r"the password is wrong"):
        read_document(data, name="a.pdf", password="guess")
    document = read_document(data, name="a.pdf", password="sesame")
    assert document.pages[0].text == "secret words"
    assert render_page(data, 1, password="sesame").startswith(b"\x89PNG")


def test_an_owner_password_alone_does_not_hinder():
    """A file that every viewer opens is read."""
    data = encrypted_pdf(small_pdf("open words"), "")
    assert read_document(data, name="a.pdf").pages[0].text == "open words"


def test_scanned():
    """Pictures only: refused, with the pages and what to do."""
    with pytest.raises(
        NoTextLayerError, match=r"no text layer: pages 1-3 of 3.*ocrmypdf"
    ) as caught:
        read_document(scanned_pdf(3), name="scan.pdf")
    assert caught.value.pages == (1, 2, 3)
    assert caught.value.name == "scan.pdf"


def test_partly_scanned():
    """Some pages have text: they are read, and the document says which have none."""
    document = read_document(scanned_pdf(3, text_on=[2]), name="scan.pdf")
    assert [page.text for page in document.pages] == ["", "words on page 2", ""]
    assert document.pages_without_text == (1, 3)


def test_blank():
    """Nothing on any page is no scan: it says so."""
    with pytest.raises(EmptyDocumentError, match=r"a\.pdf: blank pages only"):
        read_document(blank_pdf(2), name="a.pdf")


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n",
        b"%PDF-1.7\n" + bytes(range(256)) * 50,
        small_pdf("x")[:120],
        b"junk\n%PDF-1.4\ntrailer << /Root 1 0 R >>",
    ],
    ids=["head", "noise", "cut", "no-objects"],
)
def test_broken(data):
    """Damaged files are refused by name."""
    with pytest.raises(BrokenDocumentError, match=r"a\.pdf: a PDF that cannot be opened"):
        read_document(data, name="a.pdf")


def test_a_damaged_table_is_mended():
    """A PDF whose index is wrong is read all the same, as viewers do."""
    data = small_pdf("still here").replace(b"startxref", b"startxxxx")
    assert read_document(data, name="a.pdf").pages[0].text == "still here"


def test_too_many_pages():
    """Refused before a page is read, with both numbers."""
    with pytest.raises(DocumentTooLargeError, match=r"pages 3 is above the limit of 2") as caught:
        read_document(small_pdf("a", "b", "c"), name="a.pdf", limits=Limits(max_pages=2))
    assert (caught.value.size, caught.value.limit) == (3, 2)


def test_too_much_text():
    """Counted page by page; nothing is cut."""
    with pytest.raises(DocumentTooLargeError, match=r"characters"):
        read_document(small_pdf("a" * 40, "b" * 40), name="a.pdf", limits=Limits(max_chars=50))


def test_a_picture_of_a_page():
    """A PNG of the size asked for, white around black letters, the same bytes each time."""
    data = small_pdf("hello")
    picture = render_page(data, 1, scale=0.5)
    width, height, depth, colour = struct.unpack(">IIBB", picture[16:26])
    assert (width, height, depth, colour) == (298, 421, 8, 2)
    at = picture.index(b"IDAT")
    size = int.from_bytes(picture[at - 4 : at], "big")
    rows = zlib.decompress(picture[at + 4 : at + 4 + size])
    assert len(rows) == 421 * (1 + 3 * 298)
    assert rows.count(0xFF) > 0.95 * len(rows)
    assert min(rows[1 : 3 * 298]) == 255  # the first row is white
    assert sum(byte < 128 for byte in rows) > 421  # each row begins with a zero
    assert picture == render_page(data, 1, scale=0.5)


@pytest.mark.parametrize(("number", "scale"), [(0, 1), (2, 1), (-1, 1), (1, 1000), (1, 0)])
def test_no_such_picture(number, scale):
    """A page that is not there, or a size without sense, is refused with the numbers."""
    with pytest.raises(InvalidRequestError, match=r"expected"):
        render_page(small_pdf("a"), number, scale=scale)


def test_threads():
    """PDFium is not thread-safe; readers side by side wait for each other."""
    files = [make_book(9, seed=seed, num_facts=1).pdf for seed in range(4)]
    alone = [read_document(data, name="a.pdf") for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda n: read_document(files[n % 4], name="a.pdf"), range(32)))
    assert together == alone * 8
