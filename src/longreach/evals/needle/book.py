"""A book in PDF: pages of real prose, a chapter per module, and hidden facts on known pages.

The prose is the documentation strings of Python's own standard library (the held-out part), so
any machine can make a book of any length and nothing is downloaded:

    book = make_book(300, seed=0)
    Path("book.pdf").write_bytes(book.pdf)
    for fact in book.facts:
        print(fact.page, fact.question.text, fact.question.answer)
"""

from __future__ import annotations

import ast
import functools
import random
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from longreach.evals.needle.haystack import library_files, read_library_file
from longreach.evals.needle.pdf_writer import A4, Line, write_pdf
from longreach.evals.needle.tasks import Needle, Question, ask, draw_needles

TITLE = "A Book of Documentation"
LINES_PER_PAGE = 42
LINE_CHARS = 88
LEADING = 15
MARGIN = 64


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A hidden sentence, the page it stands on (from 1), and the question about it."""

    page: int
    needle: Needle
    question: Question


@dataclass(frozen=True, kw_only=True)
class Book:
    """pdf: the file's bytes; the same for the same pages, facts, seed and Python version."""

    pdf: bytes
    num_pages: int
    facts: tuple[Fact, ...]


@dataclass
class _Leaf:
    """One page while it is made."""

    chapter: str
    lines: list[str]


def make_book(num_pages: int, *, seed: int = 0, num_facts: int = 8) -> Book:
    """A book of exactly num_pages pages; its facts are spread evenly, at most one on a page.

    The first fact is the pass key, the others are magic numbers; none is on the title page. Raises
    ValueError for fewer than num_facts + 1 pages.
    """
    if num_facts < 0 or num_pages < num_facts + 1:
        raise ValueError(f"{num_pages} pages have no room for a title and {num_facts} facts")
    rng = random.Random(f"book {seed}")
    leaves = _leaves(num_pages, rng)
    facts = _facts(num_pages, num_facts, rng)
    for fact in facts:
        row = rng.randrange(1, LINES_PER_PAGE)  # the end of a page that is shorter
        leaves[fact.page - 1].lines[row : row + 1] = [fact.needle.text]
    sheets = [_sheet(leaf, number) for number, leaf in enumerate(leaves, start=1)]
    pdf = write_pdf(sheets, title=TITLE, outline=_outline(leaves))
    return Book(pdf=pdf, num_pages=num_pages, facts=tuple(facts))


def _facts(num_pages: int, count: int, rng: random.Random) -> list[Fact]:
    """In the order of their pages, each in a stretch of its own; the pass key anywhere."""
    kinds = ["passkey", *["single"] * (count - 1)][:count]
    rng.shuffle(kinds)
    taken: set[str] = set()
    facts = []
    for index, kind in enumerate(kinds):
        low, high = (2 + (num_pages - 1) * part // count for part in (index, index + 1))
        page = rng.randrange(low, high)
        needles = draw_needles(rng, kind, count=1, taken=taken)
        question = ask(needles, depth=page / num_pages, kind=kind)
        facts.append(Fact(page=page, needle=needles[0], question=question))
    return facts


def _leaves(num_pages: int, rng: random.Random) -> list[_Leaf]:
    about = f"{num_pages} pages of the documentation strings of Python's standard library"
    leaves = [_Leaf(TITLE, [TITLE, "", about])]
    for chapter, lines in _chapters(rng):
        for start in range(0, len(lines), LINES_PER_PAGE):
            leaves.append(_Leaf(chapter, lines[start : start + LINES_PER_PAGE]))
            if len(leaves) >= num_pages:
                return leaves[:num_pages]
    raise AssertionError("chapters never end")


def _chapters(rng: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Modules in an order drawn anew each round, with their prose in lines."""
    paths = library_files("held_out")
    while True:
        rng.shuffle(paths)
        for path in paths:
            lines = _prose(path)
            if len(lines) >= LINES_PER_PAGE // 4:
                chapter = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                yield chapter, [chapter, "", *lines]


@functools.lru_cache(maxsize=1024)
def _prose(path: str) -> tuple[str, ...]:
    """The documentation strings of one module in lines that fit the page."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in old sources
        tree = ast.parse(read_library_file(path))
    lines: list[str] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        text = ast.get_docstring(node) or ""
        if len(text) < LINE_CHARS:
            continue
        lines += ["", node.name, ""] if not isinstance(node, ast.Module) else []
        lines += [line for part in text.split("\n\n") for line in _paragraph(part)]
    return tuple(lines)


def _paragraph(part: str) -> list[str]:
    """Its lines and a blank one; prose is filled anew, lists and examples keep their lines."""
    lines = part.expandtabs(4).split("\n")
    if all(line[:1].isalnum() for line in lines):
        lines = [" ".join(lines)]
    cut = (textwrap.wrap(line, LINE_CHARS, drop_whitespace=False) or [""] for line in lines)
    return [line for pieces in cut for line in pieces] + [""]


def _sheet(leaf: _Leaf, number: int) -> list[Line]:
    """A running head, the text, the page's number at the foot."""
    top = A4[1] - 90
    body = [
        Line(text=text.rstrip(), x=MARGIN, y=top - LEADING * row, font=_font(leaf, row))
        for row, text in enumerate(leaf.lines)
        if text.strip()
    ]
    head = Line(text=leaf.chapter, x=MARGIN, y=A4[1] - 50, size=8)
    foot = Line(text=str(number), x=A4[0] / 2, y=40, size=8)
    return [head, *body, foot]


def _font(leaf: _Leaf, row: int) -> str:
    return "head" if row == 0 and leaf.lines[0] == leaf.chapter else "body"


def _outline(leaves: list[_Leaf]) -> list[tuple[str, int]]:
    starts = (index for index, leaf in enumerate(leaves) if leaf.lines[0] == leaf.chapter)
    return [(leaves[index].chapter, index) for index in starts]
