"""`longreach chat` on the shipped model: one question, and pipes."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from longreach.cli.commands import app

STORY = "The sky is blue. The pass key is 28884. Remember it. 28884 is the pass key.\n"
QUESTION = "What is the pass key?"


def run(*words, stdin=""):
    return CliRunner().invoke(app, ["chat", "--max-tokens", "12", *words], input=stdin)


def test_answers_about_piped_text():
    """Text from a pipe is what the question is about; stdout is the bare answer."""
    result = run(QUESTION, stdin=STORY)
    assert result.exit_code == 0, result.output
    assert result.stdout == "The pass key is 28884.\n"


def test_answers_about_documents(tmp_path):
    """A file given with --doc goes before the question, as piped text does."""
    path = tmp_path / "story.txt"
    path.write_text(STORY.strip())
    assert run(QUESTION, "--doc", str(path)).stdout == run(QUESTION, stdin=STORY).stdout


def test_a_pipe_alone_is_the_question():
    """Without a PROMPT, the text from the pipe is asked."""
    result = run(stdin=f"{STORY}\n{QUESTION}\n")
    assert result.stdout == "The pass key is 28884.\n"


def test_says_when_the_answer_was_cut():
    """An answer that max_tokens ends is marked on stderr, not in the text."""
    result = run(QUESTION, "--max-tokens", "2", stdin=STORY)
    assert result.exit_code == 0
    assert "cut" in result.stderr
    assert "cut" not in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "PROMPT"),
        (["x", "--doc", "/nowhere.txt"], "nowhere.txt"),
        (["x", "--model", "/nowhere"], "nowhere"),
        (["x", "--temperature", "-1"], "temperature"),
        (["x", "--base-url", "http://127.0.0.1:1/v1"], "no connection to"),
    ],
)
def test_bad_input_is_one_line(words, message):
    """What cannot be done is one line on stderr and exit code 2."""
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
