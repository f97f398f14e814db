"""Commands inside a conversation."""

import pytest

from longreach.cli.chat.commands import (
    COMMANDS,
    ClearScreen,
    Leave,
    Say,
    is_command,
    run_command,
)
from longreach.cli.chat.session import Session
from longreach.errors import InvalidRequestError


@pytest.fixture
def session():
    session = Session(settings={"max_tokens": 99})
    session.ask("Who?")
    session.answered("He.", None)
    return session


QWEN_DEMO = (
    "help h exit quit q clear cl clear-his clh history his seed conf reset-conf".split()  # noqa: SIM905
)


@pytest.mark.parametrize("mark", [":", "/"])
def test_knows_the_commands_of_the_qwen_demo(mark):
    """Every name of the first demo works, with a colon and with a slash."""
    for name in QWEN_DEMO:
        assert run_command(Session(), f"{mark}{name}") is not None


def test_help_names_every_command(session):
    """The help has a line per command, with its other names."""
    text = run_command(session, "/help").text
    for command in COMMANDS:
        assert all(name in text for name in command.names)
        assert command.help in text


@pytest.mark.parametrize(
    ("line", "effect"),
    [
        ("/q", Leave()),
        (":exit", Leave()),
        ("/clear", ClearScreen()),
        ("/history", Say("you: Who?\nmodel: He.")),
        ("/seed", Say("seed: a new one for every answer")),
        ("/seed 7", Say("seed: 7")),
        ("/conf", Say("max_tokens=99")),
        ("/conf temperature=0.5, top_p=0.8", Say("temperature=0.5\ntop_p=0.8\nmax_tokens=99")),
        ("/doc list", Say("no documents")),
        ("/clh", Say("history cleared")),
    ],
)
def test_what_a_command_does(session, line, effect):
    """Each command has its effect."""
    assert run_command(session, line) == effect


def test_settings_change_and_return(session):
    """`/conf` and `/seed` change what the next answer is drawn with, `/reset-conf` returns."""
    run_command(session, "/conf top_k=20")
    run_command(session, "/seed 3")
    assert session.current_settings == {"max_tokens": 99, "top_k": 20, "seed": 3}
    run_command(session, "/reset-conf")
    assert session.current_settings == {"max_tokens": 99}


def test_clearing_the_history(session):
    """`/clear-his` forgets the turns and says which documents stay."""
    session.documents.append(run_doc(session))
    assert run_command(session, "/clear-his") == Say("history cleared; 1 document kept")
    assert session.messages() == []
    assert run_command(session, "/history") == Say("nothing was said yet")


def run_doc(session):
    from longreach.cli.chat.documents import Document

    return Document("d", "text")


def test_documents_come_and_go(session, tmp_path):
    """A file is added by its path, listed with its size, and cleared."""
    path = tmp_path / "my notes.txt"
    path.write_text("höhe" * 512)
    assert "added" in run_command(session, f'/doc add "{path}"').text
    assert session.documents[0].text == "höhe" * 512
    assert run_command(session, "/doc list") == Say(f"{path}  2 KiB")
    assert str(path) in run_command(session, ":doc list").text
    assert run_command(session, "/doc clear") == Say("1 document removed")
    assert session.documents == []


def test_documents_that_cannot_be_read(session, tmp_path):
    """A missing file and a binary one are refused, and nothing is added."""
    binary = tmp_path / "model.bin"
    binary.write_bytes(b"\0\1")
    with pytest.raises(OSError, match="nowhere"):
        run_command(session, f"/doc add {tmp_path}/nowhere")
    with pytest.raises(InvalidRequestError, match="binary"):
        run_command(session, f"/doc add {binary}")
    assert session.documents == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("/nonsense now", "/nonsense"),
        ("/", "/"),
        ("/quit now", "quit"),
        ("/doc", "doc"),
        ("/doc add", "doc"),
        ("/doc drop x", "doc"),
        ("/seed x", "seed"),
        ("/seed -1e3", "seed"),
        ("/conf temperature", "temperature"),
        ("/conf temperature=hot", "temperature"),
        ("/conf temperature=-1", "temperature"),
        ("/conf heat=1", "heat"),
    ],
)
def test_commands_that_cannot_be_obeyed(session, line, named):
    """The error names what was wrong, and nothing has changed."""
    before = dict(session.current_settings)
    with pytest.raises(InvalidRequestError, match=named):
        run_command(session, line)
    assert session.current_settings == before


@pytest.mark.parametrize(
    ("line", "expected"), [("/h", True), (":h", True), (" /h", False), ("a /h", False), ("", False)]
)
def test_what_a_command_is(line, expected):
    """A line is a command by its first character; a space makes it a question."""
    assert is_command(line) is expected
