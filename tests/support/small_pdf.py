"""PDF files of a few lines."""

from longreach.evals.needle.pdf_writer import Line, write_pdf


def small_pdf(*pages):
    """The bytes of a PDF whose pages hold these texts, line by line."""
    sheets = [
        [Line(text=line, x=64, y=780 - 15 * row) for row, line in enumerate(page.split("\n"))]
        for page in pages
    ]
    return write_pdf(sheets, title="Small")
