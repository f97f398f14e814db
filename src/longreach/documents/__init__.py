"""Files as documents: their text with an anchor per page, ready to stand before a question.

    from longreach.documents import prompt_messages, read_document

    book = read_document("book.pdf")
    llm.chat(prompt_messages([book], "What is the pass key?"))

Nothing is fetched from the network, nothing is written, and a file is read whole or refused.
Importing this package is light; PDFium and markitdown are imported at their first use.
"""

from longreach.documents.collection import Collection, Skipped, read_paths
from longreach.documents.limits import Limits
from longreach.documents.prompt import PageSpan, document_part, page_spans, prompt_messages
from longreach.documents.reading import read_document, read_text, render_page
from longreach.documents.types import Document, Heading, Page

__all__ = [
    "Collection",
    "Document",
    "Heading",
    "Limits",
    "Page",
    "PageSpan",
    "Skipped",
    "document_part",
    "page_spans",
    "prompt_messages",
    "read_document",
    "read_paths",
    "read_text",
    "render_page",
]
