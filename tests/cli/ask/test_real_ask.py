"""The shipped model reads a book in PDF and cites the page, once in this process, once in another.

No fake anywhere: the file is made here, read by PDFium, kept on disk between the two.
"""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from longreach.cli.commands import app
from longreach.evals.needle.book import make_book


def ask_here(book, cache, question):
    words = ["ask", str(book), question, "--json", "--cache-dir", str(cache), "--max-tokens", "40"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def ask_elsewhere(book, cache, question):
    words = ["ask", str(book), question, "--json", "--cache-dir", str(cache), "--max-tokens", "40"]
    code = "from longreach.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_book_of_200_pages_is_read_once_and_cited(tmp_path):
    """Most facts are found on their pages; another process finds the book in the disk cache."""
    book = make_book(200, seed=0, num_facts=4)
    path, cache = tmp_path / "book.pdf", tmp_path / "cache"
    path.write_bytes(book.pdf)
    first, *others = book.facts
    answers = [ask_here(path, cache, first.question.text)]
    answers += [ask_elsewhere(path, cache, fact.question.text) for fact in others]
    right = [
        fact.needle.value in data["answer"] and data["citations"][0]["page"] == fact.page
        for fact, data in zip(book.facts, answers, strict=True)
    ]
    assert sum(right) >= 3, [(data["answer"], data["citations"]) for data in answers]
    assert answers[0]["cached_tokens"] == 0
    for data in answers[1:]:
        assert data["cached_tokens"] > 0.95 * data["prompt_tokens"]
        assert data["looked_at"][0]["share"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["map-reduce", "search"])
def test_a_book_beyond_the_window_is_answered_all_the_same(tmp_path, how):
    """A window of a third of the book: the one part, or page, that holds the fact is enough.

    What the model makes up about the other parts is left out, because it stands nowhere in them.
    """
    book = make_book(16, seed=0, num_facts=2)
    path = tmp_path / "book.pdf"
    path.write_bytes(book.pdf)
    fact = book.facts[1]
    words = ["ask", str(path), fact.question.text, "--json", "--no-disk-cache"]
    words += ["--max-model-len", "2K", "--max-tokens", "40", "--over-length", how]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert fact.needle.value in data["answer"]
    assert data["citations"][0]["page"] == fact.page
