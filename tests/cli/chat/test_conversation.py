"""Turns as a person at a terminal has them."""

import pytest

from longreach.cli.chat.backend import Piece, Thought, Usage
from longreach.cli.chat.conversation import converse, take_turn
from longreach.cli.chat.session import Session
from longreach.errors import LongreachError


def reader(*lines):
    """Lines that are typed; an exception is raised where it stands."""
    waiting = iter(lines)

    def read():
        line = next(waiting, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    return read


def test_answers_and_remembers(fake_backend, make_screen, capsys):
    """The answer goes to stdout as it comes, and into the history."""
    backend, session = fake_backend(), Session(settings={"seed": 1})
    assert take_turn(session, backend, make_screen(), "Is it?")
    assert capsys.readouterr().out == "Yes.\n"
    assert backend.asked == [([{"role": "user", "content": "Is it?"}], {"seed": 1})]
    assert session.turns[0].answer == "Yes."
    assert session.usage == Usage(num_prompt_tokens=9)


def test_a_pipe_gets_the_bare_answer(fake_backend, make_screen, capsys):
    """Thoughts and progress are not part of what is piped."""
    backend = fake_backend(Thought("Hm."), Piece("**Yes**"), Usage())
    screen = make_screen()
    take_turn(Session(), backend, screen, "Is it?")
    assert capsys.readouterr().out == "**Yes**\n"
    assert screen.notes == ""


def test_a_terminal_gets_markdown_and_thoughts(fake_backend, make_screen):
    """On a terminal the answer is rendered, and what the model thinks is shown before it."""
    screen = make_screen(is_terminal=True)
    session = Session()
    take_turn(session, fake_backend(Thought("Hm."), Piece("**Yes**"), Usage()), screen, "Is it?")
    assert screen.shown.index("Hm.") < screen.shown.index("Yes")
    assert "**" not in screen.shown.splitlines()[-1]
    assert session.turns[0].answer == "**Yes**", "thoughts are no part of the history"


def test_ctrl_c_stops_the_answer(fake_backend, make_screen):
    """What was said before Ctrl-C stays; a question without a word of answer is taken back."""
    session, screen = Session(), make_screen()
    assert not take_turn(session, fake_backend(Piece("Ye"), KeyboardInterrupt()), screen, "A?")
    assert not take_turn(session, fake_backend(KeyboardInterrupt()), screen, "B?")
    assert [(turn.question, turn.answer) for turn in session.turns] == [("A?", "Ye")]
    assert "stopped" in screen.notes


def test_says_when_an_answer_was_cut(fake_backend, make_screen):
    """An answer that used up max_tokens is followed by a note."""
    screen = make_screen()
    take_turn(Session(), fake_backend(Piece("Ye"), Usage(is_cut=True)), screen, "A?")
    assert "cut" in screen.notes


def test_a_conversation_goes_on_after_errors(fake_backend, make_screen, capsys):
    """An error is one line, and the next question is asked as if nothing had happened."""
    session, screen = Session(), make_screen()
    backend = fake_backend(LongreachError("no\nroom"))
    converse(session, backend, screen, reader("A?", "/nonsense", "/doc add /nowhere", "B?"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: no room"
    assert [line.startswith("error: ") for line in lines] == [True] * 4
    assert [messages[-1]["content"] for messages, _ in backend.asked] == ["A?", "B?"]
    assert session.turns == []


def test_a_conversation_ends(fake_backend, make_screen):
    """Ctrl-D and /exit leave, Ctrl-C and empty lines do not."""
    backend = fake_backend()
    screen = make_screen()
    converse(Session(), backend, screen, reader("", "  ", KeyboardInterrupt(), "A?", "/exit", "B?"))
    assert len(backend.asked) == 1
    assert "Ctrl-D" in screen.notes
    converse(Session(), backend, screen, reader("C?"))
    assert len(backend.asked) == 2


def test_a_space_makes_a_question_of_a_command(fake_backend, make_screen):
    """A question may begin with a slash behind a space."""
    backend = fake_backend()
    converse(Session(), backend, make_screen(), reader(" /etc is what?"))
    assert backend.asked[0][0][-1]["content"] == "/etc is what?"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_commands_reach_the_screen(fake_backend, make_screen, is_terminal):
    """What a command says is a note, not an answer."""
    screen = make_screen(is_terminal=is_terminal)
    converse(Session(), fake_backend(), screen, reader("/help", "/clear"))
    assert "Ctrl-C stops an answer" in screen.notes
    assert "Ctrl-C" not in screen.shown
