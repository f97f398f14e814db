"""Files that are written when the work is done: whether they can be is seen before it begins."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from longreach.errors import InvalidRequestError


def output_file(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """Callback of an option that names such a file."""
    if path is not None:
        require_writable(param.name or "", path)
    return path


def require_writable(field: str, path: Path) -> None:
    """Make the folder of a file. Raises InvalidRequestError where the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        expected = f"a file that can be written ({error.strerror})"
        raise InvalidRequestError(field, str(path), expected) from error
    if path.is_dir():
        raise InvalidRequestError(field, str(path), "a file; this is a folder")
    if not all(os.access(p, os.W_OK) for p in (path.parent, path) if p.exists()):
        raise InvalidRequestError(field, str(path), "a file that you may write")
