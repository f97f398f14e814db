"""One engine under test, in a process of its own that answers one JSON line per question.

Every engine has its own interpreter (peers need other versions of torch), loads once, and is asked
in turn with the others, so that all are measured in one run on a machine whose speed drifts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPLY_MARK = "@reply "


class WorkerError(RuntimeError):
    """The engine's process ended or answered with an error."""


class Worker:
    """Start `argv`, then `ask` it. Questions and replies are dicts; see benchmarks/peers/."""

    def __init__(self, name: str, argv: Sequence[str | Path], log: Path) -> None:
        self.name = name
        self._log_path = log
        self._log = log.open("w")
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            [str(part) for part in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        """Send one question and wait for its reply. Raises WorkerError with the log's tail."""
        if self._process.stdin is None or self._process.stdout is None:
            raise WorkerError(f"{self.name}: no pipes")
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure("its process has ended") from None
        for line in self._process.stdout:
            if line.startswith(REPLY_MARK):
                return self._checked(json.loads(line.removeprefix(REPLY_MARK)))
            self._log.write(line)
        raise self._failure("its process ended without a reply")

    def close(self) -> None:
        """End the process and its log."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _checked(self, reply: dict[str, Any]) -> dict[str, Any]:
        if "error" in reply:
            raise WorkerError(f"{self.name}: {reply['error']}")
        return reply

    def _failure(self, reason: str) -> WorkerError:
        self._log.flush()
        tail = " | ".join(self._log_path.read_text().strip().splitlines()[-3:])
        return WorkerError(f"{self.name}: {reason}: {tail or 'its log is empty'}")


def python_of(environment_variable: str, environ: dict[str, str]) -> str | None:
    """The interpreter a peer runs in, from its environment variable; ours when it says `self`."""
    value = environ.get(environment_variable)
    return sys.executable if value == "self" else value
