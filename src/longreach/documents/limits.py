"""How much of a file or a folder is read at most. Whatever is above is refused, never cut."""

from __future__ import annotations

from dataclasses import dataclass, fields

from longreach.errors import DocumentTooLargeError, InvalidRequestError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Every limit is one above which a file is refused.

    max_bytes: of a file. max_pages: of a PDF or of slides. max_chars: of text in a document
    (about a quarter as many tokens). max_unpacked_bytes: of all parts of an office file together;
    max_ratio: unpacked bytes per packed byte, counted for archives that unpack to more than
    16 MiB. max_files, max_depth: of a folder, in files and in nested folders.
    """

    max_bytes: int = 256 * 2**20
    max_pages: int = 20_000
    max_chars: int = 64 * 2**20
    max_unpacked_bytes: int = 256 * 2**20
    max_ratio: int = 200
    max_files: int = 10_000
    max_depth: int = 64

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise InvalidRequestError(field.name, value, "a whole number of at least 1")

    def check_bytes(self, name: str, size: int) -> None:
        """Raises DocumentTooLargeError when a file has more than max_bytes bytes."""
        if size > self.max_bytes:
            advice = "split the file, or raise Limits.max_bytes"
            raise DocumentTooLargeError(name, "its size in bytes", size, self.max_bytes, advice)

    def check_pages(self, name: str, count: int) -> None:
        """Raises DocumentTooLargeError when there are more than max_pages pages."""
        if count > self.max_pages:
            advice = "split the file, or raise Limits.max_pages"
            raise DocumentTooLargeError(name, "its number of pages", count, self.max_pages, advice)

    def check_chars(self, name: str, count: int) -> None:
        """Raises DocumentTooLargeError when the text has more than max_chars characters."""
        if count > self.max_chars:
            advice = "split the file, or raise Limits.max_chars"
            raise DocumentTooLargeError(
                name, "its text in characters", count, self.max_chars, advice
            )
