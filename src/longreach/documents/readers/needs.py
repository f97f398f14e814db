"""What to do when an optional package is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from longreach.errors import UnsupportedDocumentError


@contextmanager
def needed(package: str, name: str, kind: str) -> Iterator[None]:
    """Around the import of a package: its absence is an UnsupportedDocumentError that says so."""
    try:
        yield
    except ImportError as error:
        problem = f"reading {kind} needs the package {package}, which is not installed"
        advice = 'pip install "longreach[documents]"'
        raise UnsupportedDocumentError(name, problem, advice) from error
