"""An upload as `multipart/form-data`, never more of it in memory or on disk than is allowed."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from longreach.serve.errors import ApiError, bad_request, clip
from longreach.serve.schema.files import UploadFields

_FORM = "multipart/form-data"
_MAX_FIELDS = 16
_MAX_NAME = 255
_FORM_SLACK = 2**16
"""Bytes of a form beside its file."""
_NUMBER = re.compile(r"[0-9]{1,18}")  # longer ones stay text, and are refused as such
_NESTED = re.compile(r"(\w+)\[(\w+)\]")

OPENAPI_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": UploadFields.model_json_schema()["properties"]["purpose"],
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer"},
                    },
                }
            }
        },
    }
}
"""What the schema of the API says of an upload."""


@dataclass(frozen=True)
class Upload:
    """A file that has arrived, for as long as its form is open."""

    content: BinaryIO
    filename: str
    fields: UploadFields


@asynccontextmanager
async def read_upload(request: Request, max_bytes: int) -> AsyncIterator[Upload]:
    """The upload of a request. Raises ApiError 400, 413, 415, and what validation raises."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise ApiError(415, f"Send the file as a form, with 'Content-Type: {_FORM}'.")
    limited = _LimitedRequest(request.scope, request.receive)
    limited.max_bytes = max_bytes + _FORM_SLACK
    async with limited.form(max_files=1, max_fields=_MAX_FIELDS) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise bad_request("file: Field required, as a part with a filename.", "file")
        _check_size(file.size or 0, max_bytes)
        texts = {name: value for name, value in form.items() if name != "file"}
        name = PurePosixPath((file.filename or "").replace("\\", "/")).name
        yield Upload(file.file, clip(name, _MAX_NAME) or "file", _fields(texts))


class _LimitedRequest(Request):
    """A request whose body is refused as soon as it is known to be too long."""

    max_bytes = 0

    async def stream(self) -> AsyncGenerator[bytes, None]:
        _check_size(int(self.headers.get("content-length") or 0), self.max_bytes)
        size = 0
        async for piece in super().stream():
            size += len(piece)
            _check_size(size, self.max_bytes)
            yield piece


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        message = f"The upload has more than {max_bytes} bytes, which is the limit here."
        raise ApiError(413, message, code="request_too_large")


def _fields(texts: Mapping[str, Any]) -> UploadFields:
    fields = _grouped(texts)
    try:
        return UploadFields.model_validate(fields)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found, body=fields) from error


def _grouped(texts: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a form; `a[b]` is the field b of an object a. Raises ApiError 400 for both."""
    fields: dict[str, Any] = {}
    for name, value in texts.items():
        match = _NESTED.fullmatch(name)
        if match is None:
            fields[name] = value
        elif match[1] in texts:
            raise bad_request(f"{match[1]} is given as a text and as {clip(name)}.", match[1])
        else:
            number = int(value) if _NUMBER.fullmatch(str(value)) else value
            fields.setdefault(match[1], {})[match[2]] = number
    return fields
