"""The input of a batch: one request per line, found out about without keeping its bodies."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from longreach.serve.errors import echo

ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
)
MAX_LINES = 50_000
MAX_ERRORS = 100
"""A file that is wrong everywhere is told so often, and no oftener."""


@dataclass(frozen=True)
class BatchLine:
    """A request: where it stands in the file, in bytes, and what it is called."""

    number: int
    custom_id: str
    url: str
    start: int
    size: int


@dataclass(frozen=True)
class LineError:
    """Why a file cannot be run. number: of the line, from 1; None for the file as a whole."""

    code: str
    message: str
    number: int | None = None
    param: str | None = None

    def as_object(self) -> dict[str, Any]:
        """The error as OpenAI's API shows it."""
        return {
            "code": self.code,
            "message": self.message,
            "line": self.number,
            "param": self.param,
        }


class _Refused(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        self.code, self.message, self.param = code, message, param


def read_lines(
    path: Path, endpoints: Collection[str] = ENDPOINTS, *, max_lines: int = MAX_LINES
) -> tuple[list[BatchLine], list[LineError]]:
    """The requests of a file and what is wrong with it; with errors, nothing of it may run."""
    lines: dict[str, BatchLine] = {}
    errors: list[LineError] = []
    for number, start, raw in _raw_lines(path):
        try:
            if len(lines) == max_lines:
                raise _Refused("too_many_requests", f"More than {max_lines} requests.")  # noqa: TRY301
            line = _line(number, start, raw, endpoints)
            if line.custom_id in lines:
                message = f"custom_id {echo(line.custom_id)} is used twice."
                raise _Refused("duplicate_custom_id", message, "custom_id")  # noqa: TRY301
            lines[line.custom_id] = line
        except _Refused as refused:
            errors.append(LineError(refused.code, refused.message, number, refused.param))
            if len(errors) == MAX_ERRORS or refused.code == "too_many_requests":
                break
    if not lines and not errors:
        errors.append(LineError("empty_file", "The file holds no requests."))
    return list(lines.values()), errors


def read_body(path: Path, line: BatchLine) -> dict[str, Any]:
    """The body of a request whose line was found to be in order."""
    with path.open("rb") as file:
        file.seek(line.start)
        return orjson.loads(file.read(line.size))["body"]


def _raw_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Lines that are not blank: number, first byte, content."""
    with path.open("rb") as file:
        start = 0
        for number, raw in enumerate(file, 1):
            if raw.strip():
                yield number, start, raw
            start += len(raw)


def _line(number: int, start: int, raw: bytes, endpoints: Collection[str]) -> BatchLine:
    try:
        given = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _Refused("invalid_json_line", "This line is not parseable as JSON.") from error
    if not isinstance(given, dict):
        raise _Refused("invalid_json_line", "This line is not a JSON object.")
    custom_id, url = given.get("custom_id"), given.get("url")
    if not isinstance(custom_id, str) or not custom_id:
        raise _Refused("missing_required_parameter", "custom_id: expected a text.", "custom_id")
    if given.get("method") != "POST":
        message = f"method is {echo(given.get('method'))}: expected POST."
        raise _Refused("invalid_method", message, "method")
    if not isinstance(url, str) or url not in endpoints:
        message = f"url is {echo(url)}: expected {' or '.join(endpoints)}."
        raise _Refused("invalid_url", message, "url")
    if not isinstance(given.get("body"), dict):
        raise _Refused("missing_required_parameter", "body: expected an object.", "body")
    return BatchLine(number, custom_id, url, start, len(raw))
