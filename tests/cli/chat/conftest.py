"""A model that says what it is told to, and a screen that can be read."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from longreach.cli.chat.backend import Piece, Usage
from longreach.cli.chat.screen import Screen


class FakeBackend:
    """Answers with `script`, a list of events; an exception among them is raised."""

    name = "fake"
    is_local = True
    max_context = 131_072

    def __init__(self, *script):
        self.script = script or (Piece("Yes"), Piece("."), Usage(num_prompt_tokens=9))
        self.asked = []

    def answer(self, messages, settings, progress):
        self.asked.append((list(messages), dict(settings)))
        if progress is not None:
            progress(4, 9, 2, 1.0)
        for event in self.script:
            if isinstance(event, BaseException):
                raise event
            yield event


class ReadableScreen(Screen):
    """A screen whose two streams are kept."""

    def __init__(self, *, is_terminal=False):
        super().__init__()
        self.out = console(is_terminal)
        self.err = console(is_terminal)

    @property
    def notes(self):
        return self.err.file.getvalue()

    @property
    def shown(self):
        return self.out.file.getvalue()


def console(is_terminal):
    return Console(
        file=io.StringIO(), force_terminal=is_terminal, width=80, height=20, color_system=None
    )


@pytest.fixture
def fake_backend():
    return FakeBackend


@pytest.fixture
def make_screen():
    return ReadableScreen
