"""PDF: text and pictures of its pages, and its outline, by PDFium.

PDFium is not thread-safe: one lock keeps all calls apart. Text comes in PDFium's reading order.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from longreach.documents.limits import Limits
from longreach.documents.readers.needs import needed
from longreach.documents.readers.pdf_forms import load_page
from longreach.documents.readers.pdf_text import join_hyphens, tidy_page
from longreach.documents.readers.png import write_png
from longreach.documents.types import Heading, Page, page_ranges
from longreach.errors import (
    BrokenDocumentError,
    EmptyDocumentError,
    EncryptedDocumentError,
    InvalidRequestError,
    NoTextLayerError,
)

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_LOCK = threading.Lock()
MAX_PICTURE_PIXELS = 40_000_000


def read_pdf(
    data: bytes, name: str, limits: Limits, password: str | None = None
) -> tuple[tuple[Page, ...], tuple[Heading, ...]]:
    """Every page's text, and the outline.

    Raises EncryptedDocumentError, BrokenDocumentError, EmptyDocumentError (no pages, or blank
    ones), NoTextLayerError (pictures only), DocumentTooLargeError.
    """
    with _opened(data, name, password) as pdf:
        limits.check_pages(name, len(pdf))
        texts = _page_texts(pdf, name, limits)
        if not any(texts):
            raise _no_text(pdf, name)
        outline = tuple(_headings(pdf))
    pages = (Page(number=n, text=text) for n, text in enumerate(join_hyphens(texts), start=1))
    return tuple(pages), outline


def render_pdf_page(
    data: bytes, name: str, number: int, *, scale: float = 1.5, password: str | None = None
) -> bytes:
    """A picture of one page (number from 1) as PNG; scale 1 is 72 dots per inch.

    Raises InvalidRequestError for a page that is not there or a picture that is too large.
    """
    with _opened(data, name, password) as pdf:
        if not 1 <= number <= len(pdf):
            raise InvalidRequestError("page", number, f"1 to {len(pdf)}, the pages of {name}")
        page = load_page(pdf, number - 1)
        width, height = page.get_size()
        if not 0 < width * height * scale**2 <= MAX_PICTURE_PIXELS:
            size = f"{width:.0f} × {height:.0f} points"
            expected = f"a scale at which {size} make at most {MAX_PICTURE_PIXELS:,} pixels"
            raise InvalidRequestError("scale", scale, expected)
        bitmap = page.render(scale=scale, rev_byteorder=True, prefer_bgrx=False)
        pixels = bytes(bitmap.buffer)
        return write_png(pixels, bitmap.width, bitmap.height, bitmap.stride)


@contextmanager
def _opened(data: bytes, name: str, password: str | None) -> Iterator[PdfDocument]:
    """The PDF, while the lock is held. PDFium's errors become ours."""
    with needed("pypdfium2", name, "pdf"):
        import pypdfium2
    with _LOCK:
        try:
            pdf = pypdfium2.PdfDocument(data, password=password)
        except pypdfium2.PdfiumError as error:
            raise _not_opened(error, name, password) from error
        try:
            yield pdf
        except pypdfium2.PdfiumError as error:
            raise _broken(name, str(error)) from error
        finally:
            pdf.close()


def _not_opened(error: Any, name: str, password: str | None) -> Exception:
    import pypdfium2.raw as pdfium

    if getattr(error, "err_code", None) != pdfium.FPDF_ERR_PASSWORD:
        return _broken(name, str(error))
    problem = "encrypted, and the password is wrong" if password else "encrypted"
    advice = "give its password, or save a copy without one (qpdf --decrypt IN.pdf OUT.pdf)"
    return EncryptedDocumentError(name, problem, advice)


def _broken(name: str, reason: str) -> BrokenDocumentError:
    return BrokenDocumentError(
        name, f"a PDF that cannot be opened ({reason})", "repair it or make it again"
    )


def _page_texts(pdf: PdfDocument, name: str, limits: Limits) -> list[str]:
    texts, size = [], 0
    for index in range(len(pdf)):
        page = load_page(pdf, index)
        text_page = page.get_textpage()
        texts.append(tidy_page(text_page.get_text_range()))
        text_page.close()
        page.close()
        size += len(texts[-1])
        limits.check_chars(name, size)
    return texts


def _no_text(pdf: PdfDocument, name: str) -> Exception:
    """Blank, or pictures of text."""
    pictured = tuple(n for n in range(1, len(pdf) + 1) if _has_picture(pdf, n))
    if not pictured:
        return EmptyDocumentError(name, "blank pages only", "give a file with text in it")
    which = f"page {pictured[0]}" if len(pictured) == 1 else f"pages {page_ranges(pictured)}"
    problem = f"no text layer: {which} of {len(pdf)} hold pictures only (a scan)"
    advice = "recognise the text first, for instance: ocrmypdf IN.pdf OUT.pdf"
    return NoTextLayerError(name, pictured, problem, advice)


def _has_picture(pdf: PdfDocument, number: int) -> bool:
    page = pdf[number - 1]
    found = next(iter(page.get_objects(max_depth=2)), None) is not None
    page.close()
    return found


def _headings(pdf: PdfDocument) -> Iterator[Heading]:
    """The outline's entries that name a page."""
    for bookmark in pdf.get_toc():
        target = bookmark.get_dest()
        index = target.get_index() if target else None
        title = " ".join(bookmark.get_title().split())
        if index is not None and title:
            yield Heading(title=title, page=index + 1, level=bookmark.level)
