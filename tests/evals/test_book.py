"""The book with hidden facts."""

import subprocess
import sys
from pathlib import Path

import pytest

from longreach.documents import read_document
from longreach.evals.needle.book import make_book

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("pages", "facts", "seed"), [(9, 8, 0), (40, 8, 1), (30, 3, 2), (1, 0, 3)])
def test_every_fact_stands_on_its_page(pages, facts, seed):
    """As one line, on the page named and on no other; the book has the pages asked for."""
    book = make_book(pages, seed=seed, num_facts=facts)
    document = read_document(book.pdf, name="book.pdf")
    assert len(document.pages) == book.num_pages == pages
    assert len(book.facts) == facts
    assert len({fact.page for fact in book.facts}) == facts
    for fact in book.facts:
        found = [p.number for p in document.pages if fact.needle.text in p.text.split("\n")]
        assert found == [fact.page]


def test_a_book_is_made_once():
    """The same seed makes the same bytes; another seed another book."""
    assert make_book(20, seed=5).pdf == make_book(20, seed=5).pdf
    assert make_book(20, seed=5).facts != make_book(20, seed=6).facts


def test_chapters_are_in_the_outline():
    """Each entry's title is the first line below the head of its page."""
    document = read_document(make_book(40).pdf, name="book.pdf")
    assert len(document.outline) > 3
    for heading in document.outline:
        assert document.pages[heading.page - 1].text.startswith(heading.title)


def test_no_room():
    """Fewer pages than facts are refused."""
    with pytest.raises(ValueError, match="8 pages have no room for a title and 8 facts"):
        make_book(8)


def test_the_recipe(tmp_path):
    """It writes the file, and says which fact is on which page."""
    path = tmp_path / "book.pdf"
    script = [sys.executable, ROOT / "recipes" / "book.py", path, "--pages", "12", "--seed", "4"]
    run = subprocess.run(script, capture_output=True, text=True, check=True)
    book = make_book(12, seed=4)
    assert path.read_bytes() == book.pdf
    for fact in book.facts:
        assert f"page {fact.page:5}  {fact.question.text}  {fact.needle.value}" in run.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["book.pdf", "--pages", "0"], "0 pages have no room"),
        (["book.pdf", "--pages", "-3"], "-3 pages have no room"),
        (["book.pdf", "--facts", "-1"], "-1 facts"),
        (["nowhere/book.pdf", "--pages", "9"], "nowhere"),
    ],
)
def test_the_recipe_refuses_in_a_line(tmp_path, words, named):
    """What cannot be made is named below the usage, exit code 2, without a traceback."""
    script = [sys.executable, ROOT / "recipes" / "book.py", *words]
    run = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("book.py: error: ")
    assert named in run.stderr.splitlines()[-1]
