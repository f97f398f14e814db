"""The text of a document, its anchors and spans."""

from hypothesis import given
from hypothesis import strategies as st

from longreach.documents import Document, Page, page_spans, read_text
from longreach.documents.prompt import document_part
from longreach.documents.readers.lines import LONGEST_LINE, cut_lines, join_lines
from longreach.documents.types import page_ranges
from longreach.evals.needle.haystack import with_page_anchors
from longreach.evals.needle.pdf_writer import Line, write_pdf

PAGE_TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=8)


def made(texts, name="a.pdf"):
    pages = tuple(Page(number=n, text=text) for n, text in enumerate(texts, start=1))
    return Document(name=name, kind="pdf", sha256="", pages=pages)


def test_text():
    """The name, then each page below its anchor; a page without text keeps its anchor."""
    document = made(["first", "", "third\nline"])
    assert document.text == (
        "Document: a.pdf\n\n[page 1]\nfirst\n\n[page 2]\n\n\n[page 3]\nthird\nline"
    )
    assert document.pages_without_text == (2,)


def test_anchors_are_those_of_the_small_model():
    """needle was trained on pages that are headed in these words."""
    text = "The grass is green. " * 300
    assert with_page_anchors(text).startswith(f"{Page(number=1, text='').anchor}\nThe grass")
    assert f"\n\n{Page(number=2, text='').anchor}\n" in with_page_anchors(text)


@given(PAGE_TEXTS)
def test_a_span_is_its_page(texts):
    """The text between a page's offsets is the page, character by character."""
    document = made(texts)
    cut = [document.text[start:end] for start, end in document.spans]
    assert cut == texts


@given(st.lists(PAGE_TEXTS, min_size=1, max_size=3))
def test_spans_of_several_documents(many):
    """Each page's place in the document part is its text, and names its document."""
    documents = [made(texts, f"{n}.pdf") for n, texts in enumerate(many)]
    part = document_part(documents)
    for span in page_spans(documents):
        assert part[span.start : span.end] == many[span.document][span.page - 1]
    assert len(page_spans(documents)) == sum(map(len, many))


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=300), max_size=40))
def test_lines_are_kept(lines):
    """Stretches joined are the text; each begins on the line after the last one's end."""
    text = "\n".join(lines)
    pages = cut_lines(text)
    assert "\n".join(page.text for page in pages) == text
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))
    at = 1
    for page in pages:
        assert page.first_line == at
        at = page.last_line + 1
        assert page.text.count("\n") == page.last_line - page.first_line


def test_a_long_line_is_cut():
    """Between words, with nothing lost; every piece bears the line's number."""
    line = "word " * LONGEST_LINE
    pages = cut_lines(f"before\n{line}\nafter")
    assert "".join(page.text for page in pages[1:-1]) == line
    assert {page.label for page in pages[1:-1]} == {"line 2"}
    assert all(len(page.text) <= LONGEST_LINE for page in pages)
    assert pages[-1].label == "line 3"


def test_a_line_without_spaces_is_cut():
    """So that no page is without bound."""
    pages = cut_lines("x" * (5 * LONGEST_LINE + 1))
    assert max(len(page.text) for page in pages) == LONGEST_LINE


def test_labels():
    """Pages are called pages, stretches by their lines."""
    assert made(["x"]).pages[0].label == "page 1"
    assert cut_lines("a\nb")[0].anchor == "[lines 1-2]"
    assert cut_lines("a")[0].anchor == "[line 1]"


def test_ranges():
    """Numbers of pages as people write them."""
    assert page_ranges((1, 2, 3, 7, 9, 10)) == "1-3, 7, 9-10"
    assert page_ranges(()) == ""


@given(
    st.text(alphabet="ab. \n") | st.integers(0, 4).map(lambda n: "x y. " * (n * LONGEST_LINE // 4))
)
def test_cut_and_joined_is_the_text(text):
    """Whatever the lines, long ones too."""
    assert join_lines(cut_lines(text)) == text


def test_the_text_of_a_file_has_no_anchors():
    """A text file as it is, long lines whole; a PDF page after page."""
    text = "one\n" + "word " * LONGEST_LINE + "end\n\nlast"
    assert read_text(text.encode(), name="a.txt") == text
    pages = [[Line(text=f"Page {n}.", x=60, y=700)] for n in (1, 2)]
    assert read_text(write_pdf(pages, title="x"), name="a.pdf") == "Page 1.\n\nPage 2."
