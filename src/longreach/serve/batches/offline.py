"""A file of requests without a server: the same routes, the same executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from longreach.engine.protocol import AsyncTextEngine
from longreach.errors import InvalidRequestError
from longreach.serve.app import create_app
from longreach.serve.auth import Identity
from longreach.serve.batches.executor import run_lines
from longreach.serve.batches.journal import Journal
from longreach.serve.batches.lines import BatchLine, read_lines
from longreach.serve.batches.local import LocalApi
from longreach.serve.settings import ServerSettings

_SHOWN = 5

Report = Callable[[int, int], object]
"""Called with (requests answered, all of them)."""


@dataclass(frozen=True)
class BatchCounts:
    """How a file of requests went."""

    num_completed: int
    num_failed: int


async def run_file(
    engine: AsyncTextEngine,
    settings: ServerSettings,
    source: Path,
    output: Path,
    *,
    report: Report,
) -> BatchCounts:
    """Answer the requests in `source` that `output` has no answer to; failures go there too.

    Raises InvalidRequestError for a file that cannot be run.
    """
    lines = check_lines(source)
    api = LocalApi(create_app(engine, settings))
    with Journal(output, output) as journal:
        report(len(journal.done), len(lines))
        await run_lines(
            api,
            source,
            lines,
            journal,
            caller=Identity(),
            concurrency=settings.max_num_seqs,
            on_answer=lambda: report(len(journal.done), len(lines)),
        )
        return BatchCounts(journal.num_completed, journal.num_failed)


def check_lines(source: Path) -> list[BatchLine]:
    """The requests of a file. Raises InvalidRequestError that names the first lines at fault."""
    lines, errors = read_lines(source)
    if errors:
        told = [
            error.message if error.number is None else f"line {error.number}: {error.message}"
            for error in errors[:_SHOWN]
        ]
        raise InvalidRequestError("input-file", source.name, "requests; " + " ".join(told))
    return lines
