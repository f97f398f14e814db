"""The line that a person writes on: several lines, completion, and the meter below."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    PathCompleter,
    WordCompleter,
)
from prompt_toolkit.document import Document
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from longreach.cli.chat.commands import COMMANDS, is_command

_ADD = "doc add "
_STYLE = Style.from_dict({"bottom-toolbar": "noreverse ansibrightblack", "prompt": "bold ansicyan"})


def line_reader(
    toolbar: Callable[[], str], completer: Completer | None = None
) -> Callable[[], str]:
    """A function that reads one question or command.

    toolbar: the text below, asked every time. completer: of commands, else those of the chat.
    """
    session: PromptSession[str] = PromptSession(
        message=[("class:prompt", "> ")],
        multiline=True,
        prompt_continuation="  ",
        key_bindings=_keys(),
        completer=completer or CommandCompleter(),
        bottom_toolbar=toolbar,
        style=_STYLE,
        reserve_space_for_menu=4,
    )
    return session.prompt


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def drop(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt())

    return keys


class CommandCompleter(Completer):
    """Completes names of commands, and of files behind `/doc add`."""

    def __init__(self) -> None:
        names = [command.names[0] for command in COMMANDS] + [_ADD, "doc list", "doc clear"]
        marked = [f"{mark}{name}" for mark in "/:" for name in names]
        self._names = WordCompleter(marked, sentence=True)
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """What may stand at the cursor."""
        text = document.text_before_cursor
        if not is_command(text):
            return
        if text[1:].startswith(_ADD):
            path = text[1 + len(_ADD) :]
            yield from self._paths.get_completions(Document(path, len(path)), event)
        else:
            yield from self._names.get_completions(document, event)
