"""Answers, line by line as they come, in a file that tells a new start what is done already."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from longreach.serve.database import PRIVATE_FILE
from longreach.serve.http import to_json


class Journal:
    """Appends answers to `output`, failures to `errors` (which may be the same file).

    Opening it reads what is there: `done` are the custom_ids that are answered. A line that a crash
    cut short is removed. Blocks for a disk's time.
    """

    def __init__(self, output: Path, errors: Path) -> None:
        self.done: set[str] = set()
        self.num_completed = 0
        self.num_failed = 0
        self._output = self._open(output)
        self._errors = self._output if errors == output else self._open(errors)

    def append(self, line: dict[str, Any]) -> None:
        """Keep an answer for good; see `answer_line` and `error_line`."""
        file = self._errors if is_failure(line) else self._output
        file.write(to_json(line) + b"\n")
        file.flush()
        self._count(line)

    def close(self) -> None:
        """Close the files."""
        self._output.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, path: Path) -> BinaryIO:
        path.touch(mode=PRIVATE_FILE)
        end = 0
        with path.open("rb") as written:
            for line, end_of_line in _whole_lines(written):
                self._count(line)
                end = end_of_line
        file = path.open("r+b")
        file.truncate(end)
        file.seek(end)
        return file

    def _count(self, line: dict[str, Any]) -> None:
        self.done.add(line["custom_id"])
        if is_failure(line):
            self.num_failed += 1
        else:
            self.num_completed += 1


def _whole_lines(file: BinaryIO) -> Iterator[tuple[dict[str, Any], int]]:
    """Lines up to the first one that was not written to its end, and where each ends."""
    end = 0
    for raw in file:
        end += len(raw)
        try:
            line = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return
        if not raw.endswith(b"\n") or not isinstance(line, dict) or "custom_id" not in line:
            return
        yield line, end


def answer_line(custom_id: str, status: int, request_id: str, body: Any) -> dict[str, Any]:
    """What a route answered, as a line of OpenAI's output and error files."""
    response = {"status_code": status, "request_id": request_id, "body": body}
    return {"id": _line_id(), "custom_id": custom_id, "response": response, "error": None}


def error_line(custom_id: str, code: str, message: str) -> dict[str, Any]:
    """A request that never got an answer, as a line of the error file."""
    error = {"code": code, "message": message}
    return {"id": _line_id(), "custom_id": custom_id, "response": None, "error": error}


def _line_id() -> str:
    return f"batch_req_{uuid.uuid4().hex}"


def is_failure(line: dict[str, Any]) -> bool:
    """Whether a line is no successful answer."""
    response = line.get("response")
    return response is None or response.get("status_code") != 200
