"""A person is asked how to read what does not fit; nobody else is."""

import io

import pytest
from rich.console import Console

from longreach.cli.ask.settings import OverLength
from longreach.cli.ask.view import TerminalView
from longreach.cli.chat.backend import Piece
from longreach.cli.chat.screen import Screen


def screen(*, is_terminal=True, width=60):
    made = Screen()
    made.out, made.err = (
        Console(file=io.StringIO(), force_terminal=is_terminal, width=width, color_system=None)
        for _ in range(2)
    )
    return made


@pytest.mark.parametrize(
    ("replies", "how"),
    [
        (["s"], OverLength.SEARCH),
        (["Map"], OverLength.MAP_REDUCE),
        (["what?", "search"], OverLength.SEARCH),
        (["q"], None),
        ([""], None),
    ],
)
def test_a_person_chooses(replies, how):
    """By a letter or a word, asked again for anything else; nothing is chosen for them."""
    asked, place = iter(replies), screen()
    view = TerminalView(place, read_line=lambda prompt: next(asked))
    assert view.choose(123_456, 65_536) is how
    shown = place.err.file.getvalue()
    assert "123,456" in shown
    assert "65,536" in shown
    assert list(asked) == []


def test_a_script_is_not_asked():
    """Without a person there is no choice, and nothing is printed."""
    place = screen()
    assert TerminalView(place).choose(2, 1) is None
    assert place.err.file.getvalue() == ""


def test_json_keeps_the_answer_off_the_screen():
    """The pieces come, and stdout stays empty."""
    place = screen(is_terminal=False)
    with TerminalView(place, has_text=False).answering() as view:
        assert view.progress is None
        view.show(Piece("The sky is blue."))
    assert place.out.file.getvalue() == place.err.file.getvalue() == ""


def test_a_part_has_a_bar_of_its_own():
    """On a terminal the reading is seen, and gone when it is over."""
    place = screen()
    with TerminalView(place).part("part 2 of 5") as view:
        view.progress(10, 100, 0, 1.0)
        view.show(Piece("not in this part"))
        assert "answering" not in place.err.file.getvalue()
    assert "part 2 of 5" in place.err.file.getvalue()
    assert "answering" in place.err.file.getvalue()
    assert place.out.file.getvalue() == ""


def test_notes_break_between_words():
    """On a narrow terminal no word is cut; a file gets whole lines."""
    words = "reading 12 of 23 pages: those closest to the question"
    narrow, piped = screen(width=20), screen(width=20, is_terminal=False)
    for place in (narrow, piped):
        TerminalView(place).note(words)
    assert narrow.err.file.getvalue().split() == words.split()
    assert piped.err.file.getvalue() == f"{words}\n"
