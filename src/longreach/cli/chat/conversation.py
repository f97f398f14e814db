"""Turns of a conversation: one after the other in a terminal, or a single one."""

from __future__ import annotations

from collections.abc import Callable

from longreach.cli.chat.backend import Backend, Piece, Usage
from longreach.cli.chat.commands import ClearScreen, Leave, Say, is_command, run_command
from longreach.cli.chat.screen import Screen
from longreach.cli.chat.session import Session
from longreach.cli.errors import say_error
from longreach.errors import LongreachError


def take_turn(session: Session, backend: Backend, screen: Screen, question: str) -> bool:
    """Ask, show the answer as it comes, and remember it. False when Ctrl-C stopped it.

    What came before a Ctrl-C or an error stays in the history. Raises what the backend raises.
    """
    messages = session.ask(question)
    pieces: list[str] = []
    usage: Usage | None = None
    try:
        with screen.answering(is_local=backend.is_local) as view:
            for event in backend.answer(messages, session.current_settings, view.progress):
                view.show(event)
                if isinstance(event, Piece):
                    pieces.append(event.text)
                elif isinstance(event, Usage):
                    usage = event
    except KeyboardInterrupt:
        screen.note("stopped" if pieces else "stopped; what was read stays cached")
        return False
    finally:
        session.answered("".join(pieces), usage)
    return True


def converse(session: Session, backend: Backend, screen: Screen, read: Callable[[], str]) -> None:
    """Read lines and answer them until the end of input or a command to leave.

    read: the next line; raises EOFError at the end, KeyboardInterrupt for Ctrl-C.
    """
    while True:
        try:
            line = read()
        except KeyboardInterrupt:
            screen.note("Ctrl-D or /exit leaves")
            continue
        except EOFError:
            return
        try:
            if not _handle(session, backend, screen, line):
                return
        except (LongreachError, OSError) as error:
            say_error(error)


def _handle(session: Session, backend: Backend, screen: Screen, line: str) -> bool:
    """Do what a line asks for; False to leave."""
    if not line.strip():
        return True
    if not is_command(line):
        take_turn(session, backend, screen, line.strip())
        screen.gap()
        return True
    match run_command(session, line):
        case Say(text):
            screen.note(text)
        case ClearScreen():
            screen.clear()
        case Leave():
            return False
    return True
