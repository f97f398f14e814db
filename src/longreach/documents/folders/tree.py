"""The files of a folder, in a fixed order: what .gitignore leaves out is left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from longreach.documents.folders.gitignore import Rule, find_top, is_ignored, read_rules
from longreach.documents.limits import Limits
from longreach.documents.readers.text import safe_name
from longreach.errors import DocumentTooLargeError

NEVER_READ = frozenset([".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv"])
"""Folders that hold no text of the project, ignored or not."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A path in a folder. reason: why it is not read; "" when it is."""

    path: Path
    name: str
    reason: str = ""


def walk(folder: Path, limits: Limits) -> Iterator[Found]:
    """Every file below a folder but the ignored ones, sorted, named "folder/sub/file.py".

    Links are not followed (what they lead to inside the folder is found anyway); devices, pipes
    and what may not be read are found with a reason. Raises DocumentTooLargeError below max_depth
    folders.
    """
    folder = folder.resolve()
    top = find_top(folder)
    above = folder.relative_to(top).parts
    rules = []
    for depth in range(len(above)):
        rules += read_rules(top.joinpath(*above[:depth]), _base("/".join(above[:depth])))
    yield from _Walk(folder, top, limits).files("/".join(above), rules, depth=1)


class _Walk:
    """One walk: paths are relative to the top, where the rules begin, and with "/"."""

    def __init__(self, folder: Path, top: Path, limits: Limits) -> None:
        self._top, self._limits = top, limits
        self._shown = safe_name(folder.name or str(folder))
        self._skip = len(folder.relative_to(top).parts)

    def files(self, below: str, rules: list[Rule], *, depth: int) -> Iterator[Found]:
        folder = self._top / below
        rules = [*rules, *read_rules(folder, _base(below))]
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield self._found(below, f"cannot be opened ({error.strerror})")
            return
        for entry in entries:
            path = f"{_base(below)}{entry.name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name == ".git" or is_ignored(rules, path, is_folder=is_folder):
                continue
            if is_folder and entry.name not in NEVER_READ:
                self._check_depth(depth + 1)
                yield from self.files(path, rules, depth=depth + 1)
            else:
                yield self._found(path, _reason(entry))

    def _found(self, path: str, reason: str) -> Found:
        name = "/".join([self._shown, *path.split("/")[self._skip :]]).rstrip("/")
        return Found(path=self._top / path, name=safe_name(name), reason=reason)

    def _check_depth(self, depth: int) -> None:
        limit = self._limits.max_depth
        if depth > limit:
            advice = "give the folders inside it, or raise Limits.max_depth"
            raise DocumentTooLargeError(self._shown, "its depth in folders", depth, limit, advice)


def _base(below: str) -> str:
    return f"{below}/" if below else ""


def _reason(entry: os.DirEntry[str]) -> str:
    """Why an entry of a folder is not read, or ""."""
    if entry.is_symlink():
        return "a link, not followed"
    if entry.is_dir(follow_symlinks=False):
        return "a folder that holds no text of the project"
    if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
        return "not a regular file"
    return ""
