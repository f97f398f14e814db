import os
import pty
import sys
import termios

import pytest

from longreach.cli.chat.keys import silent_keys


@pytest.fixture
def terminal(monkeypatch):
    """A terminal as stdin."""
    outer, inner = pty.openpty()
    with os.fdopen(inner) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield inner
    os.close(outer)


def echoes(terminal):
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def test_keys_are_silent_for_a_while(terminal):
    """Inside nothing is echoed; afterwards it is again, also after Ctrl-C."""
    inside = []

    def interrupted():
        with silent_keys():
            inside.append(echoes(terminal))
            raise KeyboardInterrupt

    assert echoes(terminal)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert inside == [False]
    assert echoes(terminal)


def test_no_terminal_is_fine(monkeypatch, tmp_path):
    """Where stdin is a file nothing happens."""
    path = tmp_path / "in"
    path.write_text("text")
    with path.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with silent_keys():
            assert stdin.read() == "text"
