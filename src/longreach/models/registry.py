"""From the name of a model to the directory of its files. Nothing is downloaded here."""

from __future__ import annotations

import os
import re
from pathlib import Path

from longreach.errors import InvalidRequestError, ModelNotFoundError
from longreach.models.hf import CONFIG_FILE

NEEDLE = "needle"
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def resolve_model(model: str | Path) -> Path:
    """The directory of "needle" (shipped), of a path, or of a hub id that was pulled before.

    Raises ModelNotFoundError; for a hub id it names the command that downloads it.
    """
    if str(model) == NEEDLE and not (Path(NEEDLE) / CONFIG_FILE).is_file():
        return needle_directory()
    if not isinstance(model, str | os.PathLike) or not str(model):
        raise InvalidRequestError("model", model, "a directory, or the id of a hub (owner/name)")
    path = as_directory(model)
    if path is not None:
        return path
    if isinstance(model, str) and HUB_ID.fullmatch(model):
        cached = cached_snapshot(model)
        if cached is not None:
            return cached
        raise ModelNotFoundError(
            f"{model}: neither a directory nor in the model caches; "
            f"download it with `longreach pull {model}`"
        )
    raise ModelNotFoundError(f"{model}: no such directory, and not the id of a hub (owner/name)")


def as_directory(model: str | Path) -> Path | None:
    """The directory of that name, if there is one; what can be no path is none."""
    try:
        path = Path(model).expanduser()
        return path if path.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a zero byte
        return None


def needle_directory() -> Path:
    """Where the small model lies inside the package."""
    directory = Path(__file__).parents[1] / "assets" / NEEDLE
    if not (directory / CONFIG_FILE).is_file():
        raise ModelNotFoundError(
            f"{directory / CONFIG_FILE}: this installation lacks the small model; "
            f"recipes/needle.py makes it"
        )
    return directory


def cached_snapshot(model: str) -> Path | None:
    """The newest snapshot of a hub id that is whole on this disk, from either hub's cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, CONFIG_FILE)
    except HFValidationError:  # a name that only the other hub may have
        found = None
    if isinstance(found, str):
        return Path(found).parent
    for directory in modelscope_directories(model):
        if as_directory(directory) and (directory / CONFIG_FILE).is_file():
            return directory
    return None


def modelscope_cache() -> Path:
    """Where ModelScope's client keeps everything."""
    return Path(os.environ.get("MODELSCOPE_CACHE") or Path.home() / ".cache/modelscope/hub")


def modelscope_directories(model: str) -> list[Path]:
    """Where ModelScope's client keeps a model, by version of the client."""
    cache = modelscope_cache()
    owner, name = model.split("/")
    folders = [cache / "models", cache / "hub" / "models", cache]
    return [folder / owner / name.replace(".", "___") for folder in folders]
