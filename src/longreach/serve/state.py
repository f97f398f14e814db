"""Where a server keeps what outlives it, if nobody says where."""

from __future__ import annotations

import re
from pathlib import Path

_UNSAFE = re.compile(r"[^\w.-]+")


def usual_state_dir(cache_directory: Path, model: str) -> Path:
    """A directory beside the cached prompts, one per model.

    Servers of one model share it; those of another would answer each other's batches.
    """
    name = _UNSAFE.sub("-", model).strip("-.") or "model"
    return cache_directory / "server" / name
