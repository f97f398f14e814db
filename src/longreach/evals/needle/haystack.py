"""Haystacks: the text that needles are hidden in.

Two kinds, both found on any machine that runs Python, nothing is downloaded:

- `repeated_text`: the filler sentences of the passkey test, over and over;
- `real_text`: the sources and docstrings of Python's own standard library. They are split *by file*
  into a train and a held-out part (by a hash of the path inside the library, so the split is the
  same on every machine and Python version). `recipes/needle.py` trains on the train part;
  `longreach eval` and `longreach demo` read the held-out part only.

The held-out part holds about a megatoken of the small model's tokens or less: a longer text cycles
through it again, each round starting at another file.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Split = Literal["train", "held_out"]

# Wording of the Qwen2.5-1M release post (and of the landmark-attention passkey test before it).
FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."

HELD_OUT_SHARE = 1 / 3
MAX_FILE_BYTES = 400_000
# tests: odd fixtures; encodings, pydoc_data: tables, not text; the rest: generated or vendored.
# Whatever pip installed is not the standard library.
EXCLUDED_FOLDERS = frozenset(
    [
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "encodings",
        "pydoc_data",
        "turtledemo",
        "ensurepip",
        "__pycache__",
        "__phello__",
        "config",
        "lib-dynload",
        "msilib",
        "_pyrepl",
        "venv",
    ]
)


def library_root() -> Path:
    """The folder of this interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib") or Path(os.__file__).parent)


def is_held_out(relative_path: str) -> bool:
    """Whether a file of the standard library belongs to the held-out part.

    relative_path: with forward slashes, below the library's folder. About one file in three.
    """
    digest = hashlib.sha256(relative_path.encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def library_files(split: Split) -> list[str]:
    """Relative paths (forward slashes, sorted) of the sources in one part of the split."""
    return [p for p in _all_library_files() if is_held_out(p) == (split == "held_out")]


@functools.cache
def _all_library_files() -> tuple[str, ...]:
    root = library_root()
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [s for s in subfolders if not _is_excluded(s)]
        paths = (Path(folder, name) for name in names if name.endswith(".py"))
        found += [p.relative_to(root).as_posix() for p in paths if _is_usable(p)]
    return tuple(sorted(found))


def _is_excluded(folder: str) -> bool:
    return folder in EXCLUDED_FOLDERS or folder.startswith("config-")


def _is_usable(path: Path) -> bool:
    return path.is_file() and 200 <= path.stat().st_size <= MAX_FILE_BYTES


@functools.lru_cache(maxsize=4096)
def read_library_file(relative_path: str) -> str:
    """One source file as text, ends stripped."""
    data = (library_root() / relative_path).read_bytes()
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n").strip()


def real_text(num_chars: int, *, seed: int, split: Split = "held_out") -> str:
    """At least num_chars characters of real text, whole files in an order drawn from the seed.

    Cycles (in a new order each round) when the part is shorter than asked for.
    """
    pieces: list[str] = []
    length = 0
    for text in _shuffled_files(seed, split):
        pieces.append(text)
        length += len(text) + 2
        if length >= num_chars:
            break
    return "\n\n".join(pieces)


def _shuffled_files(seed: int, split: Split) -> Iterator[str]:
    rng = random.Random(f"real-text {seed}")
    paths = library_files(split)
    if not paths:
        raise FileNotFoundError(f"no Python sources found under {library_root()}")
    while True:
        order = list(paths)
        rng.shuffle(order)
        yield from map(read_library_file, order)


def repeated_text(num_chars: int) -> str:
    """At least num_chars characters of the passkey test's filler sentences."""
    return " ".join([FILLER] * (num_chars // (len(FILLER) + 1) + 1))


def with_page_anchors(text: str, *, page_chars: int = 2000) -> str:
    """The text cut at line or sentence ends into pages, each headed by "[page N]", N from 1."""
    pages: list[str] = []
    start = 0
    while start < len(text):
        end = next_boundary(text, start + page_chars)
        pages.append(f"[page {len(pages) + 1}]\n{text[start:end].strip()}")
        start = end
    return "\n\n".join(pages)


def next_boundary(text: str, position: int, *, search: int = 1000) -> int:
    """The first place at or after position where a line or a sentence ends (index after the end).

    Falls back to the next space, then to the position itself, when none is near.
    """
    if position >= len(text):
        return len(text)
    for mark in ("\n", ". ", " "):
        at = text.find(mark, max(position - 1, 0), position + search)
        if at >= 0:
            return min(at + len(mark), len(text))
    return position
