"""What a zip archive would unpack to, by its directory, before anything of it is unpacked."""

from __future__ import annotations

import io
import zipfile

from longreach.documents.limits import Limits
from longreach.errors import BrokenDocumentError, DocumentTooLargeError, EncryptedDocumentError

SMALL = 16 * 2**20
"""Archives that unpack to no more than this may be packed as tightly as they like."""
_ENCRYPTED = 0x1


def read_directory(data: bytes, name: str) -> list[zipfile.ZipInfo]:
    """The archive's entries. Raises BrokenDocumentError when there is no directory to read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, OverflowError) as error:
        problem = f"its zip directory cannot be read ({error})"
        raise BrokenDocumentError(name, problem, "make or download the file again") from error


def check_archive(data: bytes, name: str, limits: Limits) -> None:
    """Refuses an archive that unpacks to too much, or that needs a password.

    The sizes are those that the directory declares: Python's zipfile never unpacks an entry
    beyond them. Raises DocumentTooLargeError, EncryptedDocumentError or BrokenDocumentError.
    """
    entries = read_directory(data, name)
    unpacked = sum(entry.file_size for entry in entries)
    advice = "no document needs so much: it may be a zip bomb; if you trust it, raise Limits"
    limit = limits.max_unpacked_bytes
    if unpacked > limit:
        raise DocumentTooLargeError(name, "its unpacked size in bytes", unpacked, limit, advice)
    ratio = unpacked // max(len(data), 1)
    if unpacked > SMALL and ratio > limits.max_ratio:
        what = "its unpacked bytes per packed byte"
        raise DocumentTooLargeError(name, what, ratio, limits.max_ratio, advice)
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        advice = "save it without a password"
        raise EncryptedDocumentError(name, "an archive behind a password", advice)
