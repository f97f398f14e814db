"""The secret that cache salts are made with, kept where a server keeps its state."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

FILE_NAME = "secret"
NUM_BYTES = 32


def server_secret(state_dir: Path | None) -> bytes:
    """The secret of this directory, the same after a restart; without a directory, a new one.

    Of servers that start at the same time, all get the one that was first. Raises OSError.
    """
    if state_dir is None:
        return secrets.token_bytes(NUM_BYTES)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = state_dir / FILE_NAME
    if not path.exists():
        _write_once(path, secrets.token_bytes(NUM_BYTES))
    return path.read_bytes()


def _write_once(path: Path, secret: bytes) -> None:
    """Whole or not at all, and never over one that is there."""
    draft = path.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
