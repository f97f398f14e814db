"""Which words are files, and which one is the question."""

import io

import pytest

from longreach.cli.ask.arguments import parse_words
from longreach.errors import DocumentNotFoundError, InvalidRequestError


class Piped(io.StringIO):
    def isatty(self):
        return False


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_last_word_is_the_question():
    """Files before it may be patterns that the shell did not expand."""
    asked = parse_words(["a.pdf", "notes/*.md", " Why? "], is_session=False)
    assert (asked.paths, asked.question) == (("a.pdf", "notes/*.md"), "Why?")


def test_in_a_session_all_words_are_files():
    """Questions come later."""
    asked = parse_words(["a.pdf", "b.pdf"], is_session=True)
    assert (asked.paths, asked.question) == (("a.pdf", "b.pdf"), None)


def test_a_file_at_the_end_leaves_the_question_to_the_pipe(tmp_path, monkeypatch):
    """Piped text is asked; at a terminal a session begins."""
    path = tmp_path / "a.txt"
    path.write_text("x")
    monkeypatch.setattr("sys.stdin", Piped("Why?\n"))
    assert parse_words([str(path)], is_session=False).question == "Why?"
    monkeypatch.setattr("sys.stdin", Terminal())
    assert parse_words([str(path)], is_session=False).question is None
    monkeypatch.setattr("sys.stdin", Piped(" \n"))
    with pytest.raises(InvalidRequestError, match="QUESTION"):
        parse_words([str(path)], is_session=False)


@pytest.mark.parametrize(
    ("words", "field"), [([], "FILE"), (["Why?"], "FILE"), (["a.pdf", " "], "QUESTION")]
)
def test_what_is_missing_is_named(words, field):
    """No file, or no question."""
    with pytest.raises(InvalidRequestError, match=field):
        parse_words(words, is_session=False)


def test_a_question_of_any_length_is_no_path():
    """What no file system takes as a name is a question."""
    for question in ("why " * 2000, "null \0 byte"):
        assert parse_words(["a.pdf", question], is_session=False).question == question.strip()


@pytest.mark.parametrize("word", ["nope.txt", "../notes/b", "~/x", "b.tar.gz"])
def test_a_file_that_is_not_there_is_no_question(word):
    """A mistyped name at the end is refused, not asked."""
    with pytest.raises(DocumentNotFoundError, match="no such file"):
        parse_words(["a.pdf", word], is_session=False)


def test_a_pattern_at_the_end_is_a_path(monkeypatch):
    """Whether anything has such a name is seen where files are read."""
    monkeypatch.setattr("sys.stdin", Terminal())
    assert parse_words(["a.pdf", "*.md"], is_session=False).paths == ("a.pdf", "*.md")


@pytest.mark.parametrize(
    "word", ["Why?", "Who/what?", "1.5", "e.g. what.", "Is a.txt there?", "怎么"]
)
def test_one_word_can_be_a_question(word):
    """What does not look like a file's name is asked."""
    assert parse_words(["a.pdf", word], is_session=False).question == word
