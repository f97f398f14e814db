"""FILE... "question": which of the words are files, and what is asked."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path

from longreach.errors import DocumentNotFoundError, InvalidRequestError

_FILE_NAME = re.compile(r"\S*[^\s.]\.[A-Za-z][A-Za-z0-9]{0,4}|[./~]{1,3}/\S+")
"""One word with an extension, or that begins like a path."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """paths: files, folders and patterns. question: None for a session."""

    paths: tuple[str, ...]
    question: str | None


def parse_words(words: Sequence[str], *, is_session: bool) -> Asked:
    """Words of a command line: the last is the question, unless it is a file, or for a session.

    Without a question, piped text is the question; a person at a terminal begins a session.
    Raises InvalidRequestError where there are no files, or no question and nobody to ask for one,
    DocumentNotFoundError where the last word is a file's name and there is no such file.
    """
    if not words:
        raise InvalidRequestError("FILE", "", "a file, a folder or a pattern, then a question")
    if not is_session and _is_mistyped(words[-1]):
        problem = f"no such file: {words[-1]}"
        raise DocumentNotFoundError(Path(words[-1]).name, problem, "check the path")
    if is_session or _is_path(words[-1]):
        question = None if is_session else _piped_question()
        return Asked(paths=tuple(words), question=question)
    if len(words) < 2:
        raise InvalidRequestError("FILE", words[0], "a file, a folder or a pattern that exists")
    if not words[-1].strip():
        raise InvalidRequestError("QUESTION", words[-1], "a question")
    return Asked(paths=tuple(words[:-1]), question=words[-1].strip())


def _is_path(word: str) -> bool:
    """Whether it is there, or a pattern of files."""
    try:
        return bool(word) and (Path(word).exists() or _is_pattern(word))
    except (OSError, ValueError):  # far too long for a name, or a null byte
        return False


def _is_pattern(word: str) -> bool:
    return has_magic(word) and _FILE_NAME.fullmatch(word) is not None


def _is_mistyped(word: str) -> bool:
    """Whether it could be nothing but the name of a file, and there is none."""
    return _FILE_NAME.fullmatch(word) is not None and not _is_path(word)


def _piped_question() -> str | None:
    if sys.stdin.isatty():
        return None
    question = sys.stdin.read().strip()
    if not question:
        raise InvalidRequestError("QUESTION", question, "a question after the files, or -i")
    return question
