"""Documents for tests, without a file."""

from longreach.documents.types import Document, Page


def document(*texts, name="book.pdf", first_number=1):
    """A document with these pages."""
    pages = tuple(Page(number=n, text=text) for n, text in enumerate(texts, start=first_number))
    return Document(name=name, kind="pdf", sha256="0" * 64, pages=pages)


def lines_document(*texts, name="notes.txt"):
    """A file without pages: stretches of lines."""
    pages, line = [], 1
    for number, text in enumerate(texts, start=1):
        last = line + text.count("\n")
        pages.append(Page(number=number, text=text, first_line=line, last_line=last))
        line = last + 1
    return Document(name=name, kind="text", sha256="0" * 64, pages=tuple(pages))
