"""A directory of safetensors files, read lazily and memory-mapped. Pickle is never opened."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from longreach.errors import CheckpointError, ConfigError, ModelNotFoundError, UnsupportedModelError

INDEX_FILE = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
FLOATS = (torch.bfloat16, torch.float16, torch.float32)


def read_json(path: Path) -> Any:
    """Parsed JSON; ConfigError naming the file when it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error


def read_object(path: Path) -> Mapping[str, Any]:
    """Parsed JSON object."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a JSON object")
    return values


class Checkpoint:
    """Tensors by name, over one or more files.

    Opening checks that every file is there, whole and holds what the index says it holds.
    Raises ModelNotFoundError and CheckpointError; both name the file.
    """

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise ModelNotFoundError(f"{directory}: no such directory")
        self.directory = directory
        self._index = directory / INDEX_FILE
        self._file_of: dict[str, Path] = {}
        self._files: dict[Path, Any] = {}
        for path in self._paths():
            self._files[path] = _open(path)
            for name in self._files[path].keys():  # noqa: SIM118  # no mapping
                self._place(name, path)
        if self._index.is_file():
            self._check_index()

    @property
    def names(self) -> frozenset[str]:
        """Every tensor in the files."""
        return frozenset(self._file_of)

    def file_of(self, name: str) -> Path:
        """Where a tensor lies."""
        return self._file_of[name]

    def get(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A view into the mapped file. Raises CheckpointError when it is missing or misshapen."""
        if name not in self._file_of:
            raise CheckpointError(f"{self.directory}: tensor {name!r} is in none of its files")
        path = self._file_of[name]
        try:
            tensor: Tensor = self._files[path].get_tensor(name)
        except (SafetensorError, RuntimeError, OSError) as error:
            raise CheckpointError(f"{path}: tensor {name!r} cannot be read: {error}") from error
        if tuple(tensor.shape) != shape:
            raise CheckpointError(
                f"{path}: tensor {name!r} has shape {list(tensor.shape)}: expected {list(shape)}"
            )
        if tensor.dtype not in FLOATS:
            raise UnsupportedModelError(
                f"{path}: tensor {name!r} is {tensor.dtype}: expected bfloat16, float16 or "
                "float32; load the unquantised checkpoint"
            )
        return tensor

    def _paths(self) -> list[Path]:
        if self._index.is_file():
            return sorted(self._indexed())
        paths = sorted(self.directory.glob("*.safetensors"))
        if not paths:
            raise CheckpointError(self._nothing_found())
        return paths

    def _indexed(self) -> Iterator[Path]:
        for name in sorted({str(file) for file in self._weight_map().values()}):
            if PurePath(name).name != name or "\\" in name:
                raise CheckpointError(f"{self._index}: {name!r} is not a plain file name")
            yield self.directory / name

    def _weight_map(self) -> Mapping[str, Any]:
        weight_map = read_object(self._index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{self._index}: weight_map is missing or empty")
        return weight_map

    def _check_index(self) -> None:
        held = {path: frozenset(file.keys()) for path, file in self._files.items()}
        for name, file in self._weight_map().items():
            path = self.directory / str(file)
            if name not in held[path]:
                raise CheckpointError(
                    f"{path}: tensor {name!r} is missing, though {INDEX_FILE} places it there"
                )
            self._file_of[name] = path

    def _place(self, name: str, path: Path) -> None:
        """Two files with one tensor: only an index can say which of them counts."""
        other = self._file_of.setdefault(name, path)
        if other != path and not self._index.is_file():
            raise CheckpointError(f"{path}: tensor {name!r} is in {other.name} as well")

    def _nothing_found(self) -> str:
        pickles = sorted(p.name for pattern in PICKLES for p in self.directory.glob(pattern))
        if pickles:
            return (
                f"{self.directory / pickles[0]}: a pickle, which can run code and is never opened; "
                f"convert the checkpoint to safetensors"
            )
        return f"{self.directory}: no *.safetensors file"


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except FileNotFoundError as error:
        reason = "a link to nothing" if path.is_symlink() else f"named by {INDEX_FILE} but missing"
        raise CheckpointError(f"{path}: {reason}") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: corrupt or truncated: {error}") from error
