"""Word, PowerPoint, EPUB and web pages to Markdown, by markitdown's converters.

The converters are called by themselves: no plugin, no guess of a kind, no network.
"""

from __future__ import annotations

import importlib
import io
import re
import warnings

from longreach.documents.limits import Limits
from longreach.documents.readers.archive import check_archive
from longreach.documents.readers.lines import cut_lines
from longreach.documents.readers.needs import needed
from longreach.documents.readers.text import clean, decode_web
from longreach.documents.types import Page
from longreach.errors import BrokenDocumentError

_CONVERTERS = {
    "docx": "DocxConverter",
    "pptx": "PptxConverter",
    "epub": "EpubConverter",
    "html": "HtmlConverter",
}
_AS_WRITTEN = {"escape_underscores": False, "escape_asterisks": False, "escape_misc": False}
_INLINE_PICTURE = re.compile(r"!\[([^\]]*)\]\(data:[^)]*\)")
_SLIDE = re.compile(r"^<!-- Slide number: \d+ -->$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


def read_converted(data: bytes, kind: str, name: str, limits: Limits) -> tuple[Page, ...]:
    """The pages of one file: slides of a presentation, else stretches of lines of its Markdown.

    Raises BrokenDocumentError, EncryptedDocumentError, DocumentTooLargeError.
    """
    if kind == "html":
        data = decode_web(data, name).encode()
    else:
        check_archive(data, name, limits)
    text = _to_markdown(data, kind, name)
    limits.check_chars(name, len(text))
    if kind != "pptx":
        return cut_lines(tidy_markdown(text))
    slides = [tidy_markdown(part) for part in _SLIDE.split(text)[1:]]
    limits.check_pages(name, len(slides))
    return tuple(Page(number=n, text=slide) for n, slide in enumerate(slides, start=1))


def tidy_markdown(text: str) -> str:
    """Without the bytes of inline pictures (their descriptions stay) and runs of blank lines."""
    text = _INLINE_PICTURE.sub(lambda match: f"[{match[1]}]" if match[1] else "", clean(text))
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def _to_markdown(data: bytes, kind: str, name: str) -> str:
    with needed("markitdown", name, kind), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ffmpeg, deep nesting: nothing a reader can act on
        converters = importlib.import_module("markitdown.converters")
        from markitdown import StreamInfo

        converter = getattr(converters, _CONVERTERS[kind])()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            info = StreamInfo(extension=f".{kind}", charset="utf-8")
            return str(converter.convert(io.BytesIO(data), info, **_AS_WRITTEN).markdown)
        except Exception as error:  # parsers of five packages: any of their errors means this
            problem = f"cannot be read as {kind} ({type(error).__name__}: {error})"
            advice = "open it in its program and save it again"
            raise BrokenDocumentError(name, problem, advice) from error
