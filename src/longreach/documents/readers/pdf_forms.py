"""What was typed into a PDF: fields of forms and free text become part of their page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage


def load_page(pdf: PdfDocument, index: int) -> PdfPage:
    """A page (index from 0) with what was typed into it; the file itself stays as it is."""
    import pypdfium2.raw as pdfium

    page = pdf[index]
    if not _is_typed_into(page):
        return page
    pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
    page.close()  # handles of a page that was flattened are stale
    return pdf[index]


def _is_typed_into(page: PdfPage) -> bool:
    import pypdfium2.raw as pdfium

    typed = {pdfium.FPDF_ANNOT_WIDGET, pdfium.FPDF_ANNOT_FREETEXT}
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        pdfium.FPDFPage_CloseAnnot(annotation)
        if kind in typed:
            return True
    return False
