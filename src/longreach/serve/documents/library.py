"""Documents that requests bring: read in a thread, and kept as long as there is room."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import mimetypes
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from longreach.documents import Document, Limits, read_document
from longreach.errors import DocumentError
from longreach.serve.documents.kept import load_document, save_document
from longreach.serve.errors import ApiError, bad_request, to_api_error
from longreach.serve.files.storage import FileStore, StoredFile
from longreach.serve.schema.documents import FileFields, fields_of
from longreach.serve.validation import to_error

MAX_CHARS = 256 * 2**20
"""Characters of all documents that are kept together."""
_AT_ONCE = 2
"""Documents that are read at the same time: each takes memory, and a core."""


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A document as a request brought it. file_id: of the store; None where its bytes came."""

    document: Document
    file_id: str | None = None


class DocumentLibrary:
    """Reads documents, and knows those that it has read. max_chars: of those together."""

    def __init__(self, files: FileStore, limits: Limits, *, max_chars: int = MAX_CHARS) -> None:
        self._files = files
        self._limits = limits
        self._max_chars = max_chars
        self._num_chars = 0
        self._known: OrderedDict[tuple[str, str], Document | DocumentError] = OrderedDict()
        self._reading: dict[tuple[str, str], asyncio.Task[Document | DocumentError]] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def of_part(self, owner: str, part: Mapping[str, Any], where: str) -> Attachment:
        """The document of a content part of type file or input_file. where: the part's path.

        Raises ApiError: 400 for what cannot be read, 404 for a file that is not the owner's.
        """
        fields, inside = _checked(part, where)
        try:
            if fields.file_id is not None:
                file = await asyncio.to_thread(
                    self._files.get, owner, fields.file_id, param=f"{inside}.file_id"
                )
                return await self.of_file(file)
            return await self._of_bytes(fields.file_data or "", fields.filename, inside)
        except DocumentError as error:
            raise to_api_error(error, prompt_field=where) from error

    async def of_file(self, file: StoredFile) -> Attachment:
        """The document that a stored file is. Raises DocumentError."""
        document = await self._read((file.id, file.filename), lambda: self._read_file(file))
        return Attachment(document=document, file_id=file.id)

    def _read_file(self, file: StoredFile) -> Document:
        """As it was read before, if it was."""
        beside = self._files.note_of(file.id)
        document = load_document(beside)
        if document is None:
            path = self._files.path_of(file.id)
            document = read_document(path, name=file.filename, limits=self._limits)
            with suppress(OSError):  # a full disk makes it slower, and nothing else
                save_document(beside, document)
        return document

    def forget(self, file: StoredFile) -> None:
        """The file is gone."""
        found = self._known.pop((file.id, file.filename), None)
        self._num_chars -= 0 if found is None else _num_chars(found)

    async def _of_bytes(self, text: str, name: str | None, where: str) -> Attachment:
        data, extension = await asyncio.to_thread(decode, text, f"{where}.file_data")
        name = name or f"document{extension}"
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        document = await self._read(
            (digest, name), lambda: read_document(data, name=name, limits=self._limits)
        )
        return Attachment(document=document)

    async def _read(self, key: tuple[str, str], read: Callable[[], Document]) -> Document:
        """The document of this key; what could not be read is known as well."""
        if key in self._known:
            self._known.move_to_end(key)
            found = self._known[key]
        else:
            found = await self._read_together(key, read)
        if isinstance(found, DocumentError):
            raise found.with_traceback(None)
        return found

    async def _read_together(
        self, key: tuple[str, str], read: Callable[[], Document]
    ) -> Document | DocumentError:
        """Read it once for all who ask meanwhile; one that leaves does not stop it."""
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._read_now(key, read))
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)

    async def _read_now(
        self, key: tuple[str, str], read: Callable[[], Document]
    ) -> Document | DocumentError:
        async with self._turn:
            found: Document | DocumentError
            try:
                found = await asyncio.to_thread(read)
            except DocumentError as error:
                found = error
            self._keep(key, found)
            return found

    def _keep(self, key: tuple[str, str], found: Document | DocumentError) -> None:
        """The newest stays, however large it is."""
        self._known[key] = found
        self._num_chars += _num_chars(found)
        while self._num_chars > self._max_chars and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._num_chars -= _num_chars(oldest)


def _num_chars(found: Document | DocumentError) -> int:
    return len(found.text) if isinstance(found, Document) else 0


def _checked(part: Mapping[str, Any], where: str) -> tuple[FileFields, str]:
    """The fields of a part that names exactly one source, and their path."""
    inside = f"{where}.file" if part.get("type") == "file" else where
    try:
        fields = fields_of(dict(part))
    except ValidationError as error:
        found = to_error([{**each, "loc": ("body", *each["loc"])} for each in error.errors()], part)
        message, param = found.message, f"{where}.{found.param}" if found.param else where
        raise bad_request(f"{where}: {message}", param, found.code) from error
    if fields.file_url is not None:
        message = f"{inside}.file_url: nothing is fetched from the network here; upload the file."
        raise bad_request(message, f"{inside}.file_url", "document_url_refused")
    if (fields.file_id is None) == (fields.file_data is None):
        raise bad_request(f"{inside}: expected one of file_id and file_data.", inside)
    return fields, inside


def decode(text: str, where: str) -> tuple[bytes, str]:
    """The bytes of base64 or of a data URL, and the file extension of its type ("" if unknown).

    Raises ApiError 400.
    """
    media_type, body = "", text
    if text[:5].lower() == "data:":
        head, _, body = text[5:].partition(",")
        media_type, _, encoding = head.rpartition(";")
        if encoding.strip().lower() != "base64":
            raise _not_base64(where)
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _not_base64(where) from error
    return data, mimetypes.guess_extension(media_type.partition(";")[0].strip()) or ""


def _not_base64(where: str) -> ApiError:
    return bad_request(f"{where}: expected base64, or a data URL with it.", where)
