"""What a person sees of a question: what it will take, the bar, the answer as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.table import Table

from longreach.cli.ask.settings import OverLength
from longreach.cli.chat.backend import Event
from longreach.cli.chat.screen import Screen
from longreach.cli.reading import ReadingBar
from longreach.cli.terminal import waiting

if TYPE_CHECKING:
    from longreach.engine.protocol import ProgressCallback


class Place(Protocol):
    """Where one prompt's reading and answer are shown."""

    @property
    def progress(self) -> ProgressCallback | None:
        """Called while the prompt is read, where somebody watches."""
        ...

    def show(self, event: Event) -> None:
        """The next piece."""
        ...


class View(Protocol):
    """What asking needs of a screen."""

    def note(self, text: str) -> None:
        """Something about the question that is no part of the answer."""
        ...

    def choose(self, num_tokens: int, max_tokens: int) -> OverLength | None:
        """Ask how to read documents beyond the window; None where there is nobody to ask."""
        ...

    def waiting(self, what: str) -> AbstractContextManager[object]:
        """Say that something takes a moment."""
        ...

    def answering(self) -> AbstractContextManager[Place]:
        """A place for the answer."""
        ...

    def part(self, title: str) -> AbstractContextManager[Place]:
        """A place for a step on the way, whose answer is not shown."""
        ...


@dataclass(frozen=True)
class BarPlace:
    """A bar alone."""

    bar: ReadingBar
    progress: ProgressCallback | None

    def show(self, event: Event) -> None:
        """The first piece ends the reading."""
        self.bar.answering()


class TerminalView:
    """The answer goes to stdout as it comes; all else to stderr.

    has_text: False keeps the answer off the screen, for --json. read_line: asks a person.
    """

    def __init__(
        self,
        screen: Screen,
        *,
        has_text: bool = True,
        read_line: Callable[[str], str] | None = None,
    ) -> None:
        self._screen = screen
        self._has_text = has_text
        self._read_line = read_line

    def note(self, text: str) -> None:
        """See `View`."""
        self._screen.note(text)

    def choose(self, num_tokens: int, max_tokens: int) -> OverLength | None:
        """See `View`."""
        if self._read_line is None:
            return None
        self._screen.err.print(
            f"[bold]The documents do not fit:[/bold] {num_tokens:,} tokens, and the context holds "
            f"{max_tokens:,}."
        )
        self._screen.err.print(_choices())
        while True:
            reply = self._read_line("s, m or q: ").strip().lower()
            if reply in ("q", "quit", ""):
                return None
            for how in OverLength:
                if how.value.startswith(reply):
                    return how

    def waiting(self, what: str) -> AbstractContextManager[object]:
        """See `View`."""
        return waiting(what, self._screen.err)

    def answering(self) -> AbstractContextManager[Place]:
        """See `View`."""
        if self._has_text:
            return self._screen.answering()
        return self.part("reading")

    @contextmanager
    def part(self, title: str) -> Iterator[Place]:
        """See `View`."""
        bar = ReadingBar(self._screen.err, title)
        is_shown = self._screen.err.is_terminal
        try:
            yield BarPlace(bar.start() if is_shown else bar, bar if is_shown else None)
        finally:
            bar.stop()


def _choices() -> Table:
    table = Table.grid(padding=(0, 2, 0, 2))
    table.add_row("[bold]s[/bold]earch", "answer from the pages that speak of the question")
    table.add_row("[bold]m[/bold]ap-reduce", "read all of it in parts, then join their answers")
    table.add_row("[bold]q[/bold]uit", "read nothing")
    return table
