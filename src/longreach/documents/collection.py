"""Files, folders and patterns to documents; what was not read is named, with the reason."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from longreach.documents.folders.tree import Found, walk
from longreach.documents.limits import Limits
from longreach.documents.readers.text import safe_name
from longreach.documents.reading import DEFAULT_LIMITS, read_document, refuse_url
from longreach.documents.types import Document
from longreach.errors import DocumentError, DocumentNotFoundError, DocumentTooLargeError


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that was found in a folder or by a pattern and not read. reason: in words."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What was read, in the order asked for (in a folder: sorted), and what was not."""

    documents: tuple[Document, ...]
    skipped: tuple[Skipped, ...] = ()


def read_paths(
    paths: Iterable[str | os.PathLike[str]],
    *,
    limits: Limits = DEFAULT_LIMITS,
    password: str | None = None,
) -> Collection:
    """Read files, folders (.gitignore honoured) and patterns ("notes/**/*.md").

    A file that is asked for by its own path is read, or its DocumentError raised. One that a folder
    or a pattern leads to is read, or named in `skipped`. A file met twice is read once. Raises
    DocumentNotFoundError when nothing can be read, DocumentTooLargeError above max_files files or
    max_chars characters in all.
    """
    asked = [os.fspath(path) for path in paths]
    found = list(_unique(_expand(asked, limits)))
    _check_files(asked, sum(not item.reason for item, _ in found), limits)
    documents: list[Document] = []
    skipped: list[Skipped] = []
    total = 0
    for item, must in found:
        try:
            documents.append(_read(item, limits, password))
        except DocumentError as error:
            if must:
                raise
            skipped.append(Skipped(name=item.name, reason=error.problem))
        else:
            total += len(documents[-1].text)
            limits.check_chars(_shown(asked), total)
    if not documents:
        raise _nothing(asked, skipped)
    return Collection(documents=tuple(documents), skipped=tuple(skipped))


def _expand(asked: Sequence[str], limits: Limits) -> Iterator[tuple[Found, bool]]:
    """Every file that the paths lead to, and whether it has to be readable."""
    named: list[tuple[Path, bool]] = []
    for text in asked:
        refuse_url(text)
        if not os.path.lexists(text) and glob.has_magic(text):
            named += [(path, False) for path in _matches(text)]
        else:
            named.append((Path(text), True))
    names = distinct_names([path for path, _ in named if not path.is_dir()])
    for path, must in named:
        if path.is_dir():
            yield from ((found, False) for found in walk(path, limits))
        else:
            yield Found(path=path, name=names[path]), must


def _matches(pattern: str) -> list[Path]:
    found = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (absolute)
    files = [path for path in found if not path.is_dir()]
    if not found:
        shown = safe_name(pattern)
        raise DocumentNotFoundError(shown, "no file has such a name", "check the pattern")
    return files or found


def distinct_names(paths: Iterable[Path]) -> dict[Path, str]:
    """The last part of each path, with as many folders before it as tell namesakes apart."""
    parts = {path: path.absolute().parts for path in paths}
    size = dict.fromkeys(parts, 1)
    while True:
        names = {path: "/".join(parts[path][-size[path] :]) for path in parts}
        counts = Counter(names.values())
        longer = [p for p, name in names.items() if counts[name] > 1 and size[p] < len(parts[p])]
        if not longer:
            return {path: safe_name(name) for path, name in names.items()}
        for path in longer:
            size[path] += 1


def _unique(found: Iterable[tuple[Found, bool]]) -> Iterator[tuple[Found, bool]]:
    """Each file once, at its first place."""
    seen: set[str] = set()
    for item, must in found:
        real = os.path.realpath(item.path)
        if real not in seen or item.reason:
            yield item, must
        seen.add(real)


def _read(item: Found, limits: Limits, password: str | None) -> Document:
    if item.reason:
        raise DocumentError(item.name, item.reason, "give it by its own path")
    return read_document(item.path, name=item.name, limits=limits, password=password)


def _check_files(asked: Sequence[str], count: int, limits: Limits) -> None:
    if count > limits.max_files:
        advice = "give fewer folders, or raise Limits.max_files"
        what = "its number of files"
        raise DocumentTooLargeError(_shown(asked), what, count, limits.max_files, advice)


def _shown(asked: Sequence[str]) -> str:
    return ", ".join(safe_name(Path(text).name or text) for text in asked[:3])


def _nothing(asked: Sequence[str], skipped: Sequence[Skipped]) -> DocumentNotFoundError:
    reasons = "; ".join(f"{s.name}: {s.reason}" for s in skipped[:3])
    problem = f"nothing to read in it ({reasons})" if reasons else "nothing to read in it"
    return DocumentNotFoundError(_shown(asked) or "no path", problem, "give a file with text in it")
