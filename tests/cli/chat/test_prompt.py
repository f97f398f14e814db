"""The line that a person writes on."""

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from longreach.cli.chat.prompt import CommandCompleter, line_reader


@pytest.fixture
def type_keys():
    """Type keys, and return the line they made."""
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        read = line_reader(lambda: "ctx 0")

        def type_keys(text):
            keys.send_text(text)
            return read()

        yield type_keys


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("Hi\r", "Hi"),
        ("one\\\rtwo\r", "one\ntwo"),
        ("one\x1b\rtwo\r", "one\ntwo"),
        ("one\ntwo\r", "one\ntwo"),
        ("\x1b[200~one\ntwo\x1b[201~\r", "one\ntwo"),
        ("wrong\x03right\r", "right"),
    ],
)
def test_enter_sends(type_keys, keys, line):
    """Enter sends; behind a backslash, with Alt, or in what is pasted, it begins a new line."""
    assert type_keys(keys) == line


@pytest.mark.parametrize(("keys", "error"), [("\x03", KeyboardInterrupt), ("\x04", EOFError)])
def test_keys_that_leave(type_keys, keys, error):
    """Ctrl-C and Ctrl-D on an empty line are the caller's."""
    with pytest.raises(error):
        type_keys(keys)


def completions(text):
    found = CommandCompleter().get_completions(Document(text), CompleteEvent())
    return [completion.text for completion in found]


def test_completes_commands():
    """Names of commands, whichever mark they begin with; questions are left alone."""
    assert "/history" in completions("/h")
    assert completions(":se") == [":seed"]
    assert {"/doc add ", "/doc list", "/doc clear"} <= set(completions("/doc"))
    assert completions("what is /h") == []


def test_completes_files(tmp_path):
    """Behind `/doc add` the names of files."""
    (tmp_path / "notes.txt").touch()
    assert completions(f"/doc add {tmp_path}/no") == ["tes.txt"]
