"""Spreadsheets as Markdown tables: values as the program that saved the file computed them."""

from __future__ import annotations

import datetime as dt
import io
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from longreach.documents.limits import Limits
from longreach.documents.readers.archive import check_archive
from longreach.documents.readers.lines import cut_lines
from longreach.documents.readers.needs import needed
from longreach.documents.readers.text import clean
from longreach.documents.types import Page
from longreach.errors import BrokenDocumentError, DocumentError


def read_xlsx(data: bytes, name: str, limits: Limits) -> tuple[Page, ...]:
    """Every sheet: its name as a heading, then a table of its rows that hold something.

    The first of these rows heads the table. Raises BrokenDocumentError, EncryptedDocumentError,
    DocumentTooLargeError.
    """
    check_archive(data, name, limits)
    with needed("openpyxl", name, "xlsx"):
        import openpyxl
    lines: list[str] = []
    size = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and validations that it does not know
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            for line in _lines(book):
                lines.append(line)
                size += len(line) + 1
                limits.check_chars(name, size)
    except DocumentError:
        raise
    except Exception as error:  # zip, XML and its own errors: all mean this
        problem = f"cannot be read as xlsx ({type(error).__name__}: {error})"
        advice = "open it in its program and save it again"
        raise BrokenDocumentError(name, problem, advice) from error
    return cut_lines("\n".join(lines).rstrip())


def _lines(book: Any) -> Iterator[str]:
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what a file declares may be the whole grid
        yield f"## {cell_text(sheet.title)}"
        yield ""
        yield from table(sheet.iter_rows(values_only=True))
        yield ""


def table(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """Lines of a Markdown table; rows and trailing cells without a value are left out."""
    is_first = True
    for row in rows:
        cells = [cell_text(value) for value in _without_tail(row)]
        if not cells:
            continue
        yield f"| {' | '.join(cells)} |"
        if is_first:
            yield f"|{' --- |' * len(cells)}"
        is_first = False


def _without_tail(row: tuple[Any, ...]) -> tuple[Any, ...]:
    end = len(row)
    while end and row[end - 1] in (None, ""):
        end -= 1
    return row[:end]


def cell_text(value: Any) -> str:
    """One cell on one line: whole numbers without ".0", midnight without its time."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, dt.datetime):
        is_day = value.time() == dt.time()
        return value.date().isoformat() if is_day else value.isoformat(sep=" ")
    return " ".join(clean(str(value)).split()).replace("|", "\\|")
