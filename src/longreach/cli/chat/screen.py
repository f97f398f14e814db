"""Where a conversation is shown: answers on stdout, all else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from longreach.cli.chat.backend import Event, Piece, Thought, Usage
from longreach.cli.chat.keys import silent_keys
from longreach.cli.chat.markdown import MarkdownStream
from longreach.cli.reading import ReadingBar
from longreach.cli.terminal import stderr_console, stdout_console


class Screen:
    """A terminal, or plain streams where stdout is none."""

    def __init__(self) -> None:
        self.out = stdout_console()
        self.err = stderr_console()

    def note(self, text: str) -> None:
        """Something about the conversation that is no part of it."""
        wraps = not self.err.is_terminal  # a terminal breaks lines between words, a file nowhere
        self.err.print(text, style="dim", markup=False, soft_wrap=wraps)

    def gap(self) -> None:
        """Some air between two turns."""
        if self.out.is_terminal:
            self.out.print()

    def clear(self) -> None:
        """Empty the screen."""
        self.out.clear()

    @contextmanager
    def answering(self, *, is_local: bool = True) -> Iterator[AnswerView]:
        """A place for one answer; on leaving, what is open is closed, whatever happened."""
        with silent_keys():
            view = AnswerView(self, is_local=is_local)
            try:
                yield view
            finally:
                view.close()


class AnswerView:
    """One answer as it comes: a bar while the prompt is read, thoughts, then the answer.

    is_local: the model's memory is this process's own, so the bar shows it.
    """

    def __init__(self, screen: Screen, *, is_local: bool) -> None:
        self._screen = screen
        self._bar = ReadingBar(screen.err, "reading", shows_memory=is_local)
        self.progress = self._bar if screen.err.is_terminal else None
        if self.progress is not None:
            self._bar.start()
        self._markdown = MarkdownStream(screen.out) if screen.out.is_terminal else None
        self._is_thinking = False
        self._has_text = False

    def show(self, event: Event) -> None:
        """The next piece."""
        self._bar.stop()
        match event:
            case Thought(text) if self._markdown is not None:
                self._is_thinking = True
                self._screen.out.print(text, style="dim italic", end="", markup=False)
            case Piece(text):
                self._end_thought()
                self._write(text)
            case Usage(is_cut=True):
                self.close()
                self._screen.note("the answer was cut: max_tokens, or the context, is used up")

    def close(self) -> None:
        """No more pieces come."""
        self._bar.stop()
        self._end_thought()
        if self._has_text and self._markdown is not None:
            self._markdown.finish()
        elif self._has_text:
            sys.stdout.write("\n")
        self._has_text = False

    def _write(self, text: str) -> None:
        self._has_text = True
        if self._markdown is not None:
            self._markdown.write(text)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()

    def _end_thought(self) -> None:
        if self._is_thinking:
            self._screen.out.print("\n")
            self._is_thinking = False
