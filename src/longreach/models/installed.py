"""Models on this disk: the one that is shipped, and those in the hubs' own caches."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from longreach.errors import InvalidRequestError, ModelNotFoundError
from longreach.models.hf import CONFIG_FILE
from longreach.models.registry import NEEDLE, modelscope_cache, needle_directory

Place = Literal["shipped", "huggingface", "modelscope"]


@dataclass(frozen=True, kw_only=True)
class InstalledModel:
    """A model that commands take by its name. size: bytes on the disk. modified_s: Unix time."""

    name: str
    place: Place
    directory: Path
    size: int
    modified_s: float


def installed_models() -> list[InstalledModel]:
    """The shipped model, then those of the caches, the newest first."""
    cached = [*_of_hugging_face(), *_of_modelscope()]
    return [*_shipped(), *sorted(cached, key=lambda model: -model.modified_s)]


def find_installed(name: str) -> list[InstalledModel]:
    """Every copy of a model in a cache. Raises ModelNotFoundError, InvalidRequestError (needle)."""
    if name == NEEDLE:
        raise InvalidRequestError("model", name, "a downloaded model: this one is shipped")
    found = [model for model in installed_models() if model.name == name]
    if not found:
        raise ModelNotFoundError(f"{name}: in no model cache; `longreach list` shows what is")
    return found


def remove_model(model: InstalledModel) -> None:
    """Delete a downloaded model's files. Raises OSError."""
    if model.place == "modelscope":
        shutil.rmtree(model.directory)
        return
    from huggingface_hub import constants, scan_cache_dir

    cache = scan_cache_dir(constants.HF_HUB_CACHE)
    revisions = [
        revision.commit_hash
        for repo in cache.repos
        if repo.repo_id == model.name and repo.repo_type == "model"
        for revision in repo.revisions
    ]
    cache.delete_revisions(*revisions).execute()
    shutil.rmtree(model.directory, ignore_errors=True)  # downloads that were never finished


def _shipped() -> Iterator[InstalledModel]:
    try:
        directory = needle_directory()
    except ModelNotFoundError:
        return
    yield _measured(NEEDLE, "shipped", directory)


def _of_hugging_face() -> Iterator[InstalledModel]:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return
    for repo in repos:
        if repo.repo_type == "model":
            yield InstalledModel(
                name=repo.repo_id,
                place="huggingface",
                directory=repo.repo_path,
                size=repo.size_on_disk,
                modified_s=repo.last_modified,
            )


def _of_modelscope() -> Iterator[InstalledModel]:
    """Versions of ModelScope's client put models into different folders of its cache."""
    cache = modelscope_cache()
    seen: set[Path] = set()
    for folder in (cache / "models", cache / "hub" / "models", cache):
        for config in sorted(folder.glob(f"*/*/{CONFIG_FILE}")):
            directory = config.parent
            if directory.is_symlink() or directory in seen:
                continue
            seen.add(directory)
            name = f"{directory.parent.name}/{directory.name.replace('___', '.')}"
            yield _measured(name, "modelscope", directory)


def _measured(name: str, place: Place, directory: Path) -> InstalledModel:
    stats = [path.stat() for path in directory.rglob("*") if path.is_file()]
    return InstalledModel(
        name=name,
        place=place,
        directory=directory,
        size=sum(stat.st_size for stat in stats),
        modified_s=max((stat.st_mtime for stat in stats), default=0.0),
    )
