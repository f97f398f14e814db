"""Parsers over a text that still comes in."""

import re

import pytest

from longreach.text.cursor import Cursor


def step(reading):
    """What a reading returned, or "waits"."""
    try:
        next(reading)
    except StopIteration as done:
        return done.value
    return "waits"


@pytest.fixture
def cursor():
    return Cursor()


def test_waits_only_as_long_as_it_must(cursor):
    """A literal is refused at the first character that differs, and awaited up to its last."""
    cursor.add("<to")
    waiting = cursor.accept("<tool>")
    assert step(waiting) == "waits"
    cursor.add("ast")
    assert step(waiting) is False
    assert step(cursor.accept("<toast")) is True
    assert step(cursor.peek()) == "waits"


def test_the_end_ends_all_waiting(cursor):
    """At the end of the text there is no next character, and half a literal is none."""
    cursor.add("ab")
    waiting = cursor.accept("abc")
    assert step(waiting) == "waits"
    cursor.end()
    assert step(waiting) is False
    assert [step(cursor.take()) for _ in range(3)] == ["a", "b", ""]


def test_runs_hand_on_what_has_come(cursor):
    """A run gives its characters to the sink before it waits for more."""
    got = []
    cursor.add("aa")
    run = cursor.run(re.compile("a*"), got.append)
    assert (step(run), got) == ("waits", ["aa"])
    cursor.add("ab")
    assert (step(run), got) == (None, ["aa", "a"])


def test_goes_back_to_its_mark(cursor):
    """Text after the mark is kept while more comes, and is read again after going back."""
    cursor.add("xy")
    assert step(cursor.take()) == "x"
    cursor.mark()
    assert step(cursor.take()) == "y"
    cursor.add("z")
    assert step(cursor.take()) == "z"
    cursor.rewind()
    assert step(cursor.accept("yz")) is True


def test_forgets_what_was_read(cursor):
    """Without a mark only what is unread is kept."""
    cursor.add("a" * 1000)
    cursor.end()
    step(cursor.run(re.compile("a*"), len))
    cursor.add("b")
    assert cursor._text == "b"
