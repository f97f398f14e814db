"""Download a model from Hugging Face or ModelScope into that hub's own cache.

The clients honour their variables themselves (HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE,
MODELSCOPE_CACHE, MODELSCOPE_DOMAIN, MODELSCOPE_API_TOKEN). config.json is fetched and checked
first, so that no weights are loaded that could not be run; then the disk's room.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

from longreach.errors import (
    CheckpointError,
    InvalidRequestError,
    MemoryPlanError,
    ModelError,
    ModelNotFoundError,
)
from longreach.models.hf import CONFIG_FILE
from longreach.models.loader import load_config
from longreach.models.registry import HUB_ID, modelscope_cache

Source = Literal["huggingface", "modelscope"]

WANTED = ("*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*")
"""Weights, settings, tokenizer and licence. Never pickles, never code."""
SPARE_BYTES = 64 << 20
"""What is left free on the disk."""


class RemoteFile(NamedTuple):
    """A file of the repository. `missing` bytes of its `size` are not on this disk yet."""

    name: str
    size: int
    missing: int


class Hub(Protocol):
    """What is asked of a hub's client. Errors are ModelError."""

    def files(self, model: str, revision: str | None) -> list[RemoteFile]:
        """Every file of the repository."""
        ...

    def download(self, model: str, revision: str | None, names: Sequence[str]) -> Path:
        """Fetch files (resuming what was begun); returns their directory."""
        ...

    def cache(self) -> Path:
        """Where files are put."""
        ...


def pull(
    model: str,
    *,
    source: Source = "huggingface",
    revision: str | None = None,
    hub: Hub | None = None,
) -> Path:
    """Download a model; returns its directory. Files that are there already are kept.

    Raises InvalidRequestError (not an id, unknown source), ModelNotFoundError (no such repository,
    no network), ConfigError or UnsupportedModelError (a model we do not run), CheckpointError (no
    safetensors) and MemoryPlanError (no room on the disk).
    """
    if not HUB_ID.fullmatch(model):
        raise InvalidRequestError("model", model, "the id of a hub, owner/name")
    hub = make_hub(source) if hub is None else hub
    files = [file for file in hub.files(model, revision) if is_wanted(file.name)]
    names = [file.name for file in files]
    if CONFIG_FILE not in names:
        raise CheckpointError(f"{model}: the repository has no {CONFIG_FILE}")
    if not any(name.endswith(".safetensors") for name in names):
        raise CheckpointError(f"{model}: the repository has no *.safetensors file")
    load_config(hub.download(model, revision, [CONFIG_FILE]))
    check_room(sum(file.missing for file in files), hub.cache())
    return hub.download(model, revision, names)


def is_wanted(name: str) -> bool:
    """Whether a file of the repository belongs to the model: top level, and of a known kind."""
    return "/" not in name and any(fnmatch(name, pattern) for pattern in WANTED)


def check_room(needed: int, directory: Path) -> None:
    """Raise MemoryPlanError when the disk that holds `directory` has less than `needed` bytes."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    available = max(0, shutil.disk_usage(existing).free - SPARE_BYTES)
    if needed > available:
        hint = f"on the disk of {existing}; free some, or set HF_HOME or MODELSCOPE_CACHE"
        raise MemoryPlanError(needed, available, {"download": needed}, hint)


def make_hub(source: str) -> Hub:
    """The client of a source."""
    if source == "huggingface":
        return HuggingFace()
    if source == "modelscope":
        return ModelScope()
    raise InvalidRequestError("source", source, f"one of {', '.join(get_args(Source))}")


class HuggingFace:
    """huggingface_hub."""

    def files(self, model: str, revision: str | None) -> list[RemoteFile]:
        """Every file of the repository, at the commit that `revision` names now."""
        from huggingface_hub import HfApi

        with _HubErrors(model):
            info = HfApi().model_info(model, revision=revision, files_metadata=True)
        return [
            RemoteFile(
                s.rfilename, s.size or 0, 0 if self._has(model, info.sha, s) else s.size or 0
            )
            for s in info.siblings or ()
        ]

    def download(self, model: str, revision: str | None, names: Sequence[str]) -> Path:
        """Fetch files (resuming what was begun); returns their directory."""
        from huggingface_hub import snapshot_download

        with _HubErrors(model):
            return Path(snapshot_download(model, revision=revision, allow_patterns=list(names)))

    def cache(self) -> Path:
        """Where files are put."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE)

    @staticmethod
    def _has(model: str, commit: str | None, sibling: object) -> bool:
        from huggingface_hub import try_to_load_from_cache

        name = str(getattr(sibling, "rfilename", ""))
        return isinstance(try_to_load_from_cache(model, name, revision=commit), str)


class ModelScope:
    """The modelscope package, an extra."""

    def files(self, model: str, revision: str | None) -> list[RemoteFile]:
        """Every file of the repository."""
        try:
            from modelscope.hub.api import HubApi
        except ImportError as error:
            raise ModelNotFoundError(
                f"{model}: --source modelscope needs `pip install 'longreach[modelscope]'`"
            ) from error
        with _HubErrors(model):
            entries = HubApi().get_model_files(model, revision=revision, recursive=True)
        files = [(e["Path"], int(e.get("Size") or 0)) for e in entries if e.get("Type") != "tree"]
        return [RemoteFile(name, size, size) for name, size in files]

    def download(self, model: str, revision: str | None, names: Sequence[str]) -> Path:
        """Fetch files (resuming what was begun); returns their directory."""
        from modelscope import snapshot_download

        with _HubErrors(model):
            return Path(snapshot_download(model, revision=revision, allow_patterns=list(names)))

    def cache(self) -> Path:
        """Where files are put."""
        return modelscope_cache()


class _HubErrors:
    """Turns what a client raises into one line that names the model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, ModelError):
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelNotFoundError(
                f"{self._model}: {type(error).__name__}: {first_line}"
            ) from error
