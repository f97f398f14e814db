import io
import json
from types import SimpleNamespace

import pytest

from longreach.errors import ContextLengthError
from longreach.evals.needle.pdf_writer import Line, write_pdf


def test_the_answer_alone_is_on_stdout(run, fake_llm, tmp_path):
    """A pipe gets the answer; the figures are on stderr."""
    book = tmp_path / "book.txt"
    book.write_text("The pass key is 28884. Remember it.")
    result = run(["generate", "What is the pass key?", "--file", str(book)])
    assert result.exit_code == 0, result.output
    assert result.stdout == "The pass key is 28884.\n"
    assert "tokens read" in result.stderr


def test_a_file_is_read_as_what_it_is(run, fake_llm, tmp_path):
    """A PDF gives its text, not its bytes."""
    book = tmp_path / "book.pdf"
    book.write_bytes(write_pdf([[Line(text="The pass key is 28884.", x=60, y=700)]], title="x"))
    result = run(["generate", "What is the pass key?", "--file", str(book)])
    assert result.stdout == "The pass key is 28884.\n", result.output


def test_piped_text_is_a_file(run, fake_llm, monkeypatch):
    """--file - takes the text from the pipe."""
    piped = SimpleNamespace(buffer=io.BytesIO(b"The pass key is 28884."))
    monkeypatch.setattr("longreach.cli.options.sys", SimpleNamespace(stdin=piped))
    result = run(["generate", "What is the pass key?", "--file", "-"])
    assert result.stdout == "The pass key is 28884.\n", result.output


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "an empty file"), (b"\0\1\2\3", "not text"), (None, "no such file")],
)
@pytest.mark.parametrize("command", [["generate", "x"], ["demo"]])
def test_a_file_without_text_is_one_line(run, fake_llm, tmp_path, command, content, problem):
    """Empty, binary or missing: named with the reason, exit code 2, and nothing is loaded."""
    path = tmp_path / "book.txt"
    if content is not None:
        path.write_bytes(content)
    result = run([*command, "--file", str(path)])
    assert result.exit_code == 2
    assert "book.txt" in result.stderr
    assert problem in result.stderr
    assert not hasattr(fake_llm, "options")


def test_an_answer_that_was_cut_is_said_to_be(run, fake_llm):
    """On stderr, for a pipe as well: half an answer looks like a whole one."""
    question = ["generate", "The pass key is 28884. What is the pass key?"]
    assert "cut" not in run(question).stderr
    fake_llm.ends = "length"
    result = run(question)
    assert "the answer was cut after" in result.stderr
    assert "cut" not in result.stdout


def test_json_has_text_and_metrics(run, fake_llm):
    """One document with the answer and what it took."""
    data = json.loads(
        run(["generate", "The pass key is 1. What is the pass key?", "--json"]).stdout
    )
    assert data["text"] == "The pass key is 1."
    assert data["metrics"]["num_prompt_tokens"] > 0


def test_raw_text_has_no_template(run, fake_llm):
    """--raw continues the text as it is."""
    run(["generate", "The pass key is 1. The pass key", "--raw"])
    assert str(fake_llm.prompts[0]) == "The pass key is 1. The pass key"


def test_options_reach_the_engine(run, fake_llm):
    """What is asked for on the command line is what the model is loaded with."""
    run(["generate", "The pass key is 1. What is the pass key?", "--quantization", "int8"])
    assert fake_llm.options["quantization"] == "int8"


def test_a_prompt_that_does_not_fit_is_one_line(run, fake_llm):
    """Both numbers, exit code 2, no traceback."""
    fake_llm.fail = ContextLengthError(5000, 256, 4096)
    result = run(["generate", "x"])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "5000" in result.stderr
    assert "4096" in result.stderr
