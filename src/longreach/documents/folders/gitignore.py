"""Which files a .gitignore leaves out, by git's rules (gitignore(5)), without git.

Patterns are those of every .gitignore from the top of the repository down to the file's folder, and
of `.git/info/exclude`; the last that matches decides. A user's own global file is not read: the
same tree is the same documents on every machine.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

_CLASS = re.compile(r"\[([!^]?\]?(?:\[:\w+:\]|[^\]])*)\]", re.DOTALL)
_NAMED = re.compile(r"\[:(\w+):\]")
_NAMES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "xdigit": "0-9A-Fa-f",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "cntrl": r"\x00-\x1f\x7f",
    "print": r"\x20-\x7e",
    "graph": r"\x21-\x7e",
}
"""Named classes of characters, in ASCII as git has them."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of a .gitignore: `base` is its folder, below the top, as "a/b/" or ""."""

    base: str
    pattern: re.Pattern[str]
    keeps: bool
    folders_only: bool

    def matches(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path below the top (with "/") is meant by this line."""
        if self.folders_only and not is_folder:
            return False
        return path.startswith(self.base) and bool(self.pattern.fullmatch(path[len(self.base) :]))


def parse_rules(text: str, base: str = "") -> list[Rule]:
    """The rules of one .gitignore file, in its order."""
    return [rule for line in text.splitlines() if (rule := _parse_line(line, base))]


def is_ignored(rules: list[Rule], path: str, *, is_folder: bool) -> bool:
    """What the last matching rule says; the caller asks for every folder on the way first."""
    for rule in reversed(rules):
        if rule.matches(path, is_folder=is_folder):
            return not rule.keeps
    return False


def find_top(folder: Path) -> Path:
    """The repository that a folder is in (where `.git` is), or the folder itself."""
    for place in (folder, *folder.parents):
        if (place / ".git").exists():
            return place
    return folder


def read_rules(folder: Path, base: str) -> list[Rule]:
    """The rules that a folder brings itself; none where it has no file of them."""
    names = (".git/info/exclude", ".gitignore") if not base else (".gitignore",)
    rules = []
    for name in names:
        try:
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        rules += parse_rules(text, base)
    return rules


def _parse_line(line: str, base: str) -> Rule | None:
    line = _strip(line)
    if not line or line.startswith("#"):
        return None
    keeps = line.startswith("!")
    line = line.removeprefix("!")
    folders_only = line.endswith("/")
    line = line.removesuffix("/")
    if not line:
        return None
    anywhere = "/" not in line
    glob = f"**/{line}" if anywhere else line.removeprefix("/")
    return Rule(base=base, pattern=_compile(glob), keeps=keeps, folders_only=folders_only)


def _strip(line: str) -> str:
    r"""Without trailing spaces, but for one that "\" protects."""
    bare = line.rstrip(" \t\r")
    return f"{bare} " if bare.endswith("\\") and line != bare else bare


@functools.lru_cache(maxsize=4096)
def _compile(glob: str) -> re.Pattern[str]:
    """A pattern below its base as a regular expression; `**` crosses folders, `*` does not."""
    out, at = [], 0
    while at < len(glob):
        if glob.startswith("**/", at) and (at == 0 or glob[at - 1] == "/"):
            out.append("(?:[^/]+/)*")
            at += 3
        elif glob[at:] == "**" and (at == 0 or glob[at - 1] == "/"):
            out.append(".+")
            at += 2
        else:
            piece, at = _piece(glob, at)
            out.append(piece)
    return re.compile("".join(out), re.DOTALL)


def _piece(glob: str, at: int) -> tuple[str, int]:
    """The expression of one character, wildcard or class, and where the next begins."""
    char = glob[at]
    if char == "*":
        return "[^/]*", at + 1
    if char == "?":
        return "[^/]", at + 1
    if char == "\\" and at + 1 < len(glob):
        return re.escape(glob[at + 1]), at + 2
    if char == "[" and (match := _CLASS.match(glob, at)):
        return _class(match[1]), match.end()
    return re.escape(char), at + 1


def _class(body: str) -> str:
    """A class of characters ("a-z", "!0-9"); one that says nothing matches nothing."""
    negated = body[:1] in ("!", "^")
    body = body[1:] if negated else body
    inside = re.sub(r"([\[\]\\&~|^])", r"\\\1", _NAMED.sub("", body))
    inside += "".join(_NAMES.get(name, "") for name in _NAMED.findall(body))
    expression = f"[^/{inside}]" if negated else f"(?!/)[{inside}]"
    try:
        re.compile(expression)
    except re.error:
        return r"(?!)"
    return expression
