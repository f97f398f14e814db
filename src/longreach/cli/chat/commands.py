"""Commands inside a conversation: those of Qwen's first demo with a colon, and their slash twins.

A command changes the session and returns what the screen has to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from longreach.cli.chat.config import parse_settings, show_settings
from longreach.cli.chat.documents import read_document
from longreach.cli.chat.session import Session
from longreach.cli.terminal import show_bytes
from longreach.errors import InvalidRequestError


@dataclass(frozen=True)
class Say:
    """Show a note."""

    text: str


@dataclass(frozen=True)
class ClearScreen:
    """Empty the screen."""


@dataclass(frozen=True)
class Leave:
    """End the program."""


Effect = Say | ClearScreen | Leave


@dataclass(frozen=True)
class Command:
    """names: the first is the one in the help. usage: its arguments, help: what it does."""

    names: tuple[str, ...]
    usage: str
    help: str
    run: Callable[[Session, str], Effect]


def is_command(line: str) -> bool:
    """Whether a line is a command. A space in front makes any line a question."""
    return line.startswith(("/", ":"))


def run_command(session: Session, line: str) -> Effect:
    """Run one command line. Raises InvalidRequestError, or OSError for a file."""
    name, _, argument = line[1:].strip().partition(" ")
    command = _BY_NAME.get(name)
    if command is None:
        expected = "a command of /help; a space in front makes it a question"
        raise InvalidRequestError("command", line.split(maxsplit=1)[0], expected)
    argument = argument.strip()
    if argument and not command.usage:
        raise InvalidRequestError(name, argument, "nothing after this command")
    return command.run(session, argument)


def _help(session: Session, argument: str) -> Effect:
    rows = [(" ".join([f"/{c.names[0]}", c.usage]).strip(), c) for c in COMMANDS]
    width = max(len(left) for left, _ in rows)
    lines = [f"{left:<{width}}  {c.help}{_others(c)}" for left, c in rows]
    return Say("\n".join([*lines, "", _KEYS]))


def _others(command: Command) -> str:
    return f" (also {', '.join(command.names[1:])})" if command.names[1:] else ""


def _leave(session: Session, argument: str) -> Effect:
    return Leave()


def _clear(session: Session, argument: str) -> Effect:
    return ClearScreen()


def _clear_history(session: Session, argument: str) -> Effect:
    session.forget_turns()
    kept = f"; {_count(session)} kept" if session.documents else ""
    return Say(f"history cleared{kept}")


def _history(session: Session, argument: str) -> Effect:
    lines: list[str] = []
    for turn in session.turns:
        lines += [f"[{document.name}]" for document in turn.documents]
        lines += [f"you: {turn.question}", f"model: {turn.answer}", ""]
    return Say("\n".join(lines).rstrip() or "nothing was said yet")


def _seed(session: Session, argument: str) -> Effect:
    if argument:
        session.current_settings |= parse_settings(f"seed={argument}")
    seed = session.current_settings.get("seed")
    return Say("seed: a new one for every answer" if seed is None else f"seed: {seed}")


def _settings(session: Session, argument: str) -> Effect:
    if argument:
        session.current_settings |= parse_settings(argument)
    return Say(show_settings(session.current_settings))


def _reset_settings(session: Session, argument: str) -> Effect:
    session.current_settings = dict(session.settings)
    return Say(show_settings(session.current_settings))


def _document(session: Session, argument: str) -> Effect:
    action, _, path = argument.partition(" ")
    path = path.strip().strip("'\"")
    if action == "add" and path:
        document = read_document(path)
        session.documents.append(document)
        return Say(f"added {path}, {_size(document.text)}: it goes before your next question")
    if action == "list" and not path:
        lines = [f"{document.name}  {_size(document.text)}" for document in session.documents]
        return Say("\n".join(lines) or "no documents")
    if action == "clear" and not path:
        removed = _count(session)
        session.forget_documents()
        return Say(f"{removed} removed")
    raise InvalidRequestError("doc", argument, "add FILE, list or clear")


def _count(session: Session) -> str:
    count = len(session.documents)
    return f"{count} document{'' if count == 1 else 's'}"


def _size(text: str) -> str:
    return show_bytes(len(text.encode("utf-8", "replace")))


_KEYS = (
    "Enter sends; Alt-Enter, or a backslash at the end of a line, begins a new line.\n"
    "Ctrl-C stops an answer, Ctrl-D leaves. Every command may begin with a colon instead."
)
COMMANDS = (
    Command(("help", "h"), "", "show this", _help),
    Command(("doc",), "add FILE | list | clear", "texts that the questions are about", _document),
    Command(("history", "his"), "", "show what was said", _history),
    Command(("clear-his", "clh"), "", "forget what was said, keep the documents", _clear_history),
    Command(("clear", "cl"), "", "clear the screen", _clear),
    Command(("seed",), "[N]", "show or set the seed of answers", _seed),
    Command(("conf",), "[KEY=VALUE ...]", "show or change how answers are drawn", _settings),
    Command(("reset-conf",), "", "draw answers as in the beginning", _reset_settings),
    Command(("exit", "quit", "q"), "", "leave", _leave),
)
_BY_NAME = {name: command for command in COMMANDS for name in command.names}
