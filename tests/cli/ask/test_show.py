"""What is printed of an answer, on a terminal and into a pipe."""

import io

import pytest
from rich.console import Console

from longreach.cli.ask.answers import Answer, Reading
from longreach.cli.ask.asker import Forecast
from longreach.cli.ask.prompts import DocumentPrompt
from longreach.cli.ask.show import (
    documents_line,
    figures,
    forecast_line,
    show_answer,
    show_citations,
)
from longreach.documents.citations import Citation
from longreach.documents.collection import Skipped
from longreach.documents.token_spans import PageTokens
from longreach.engine.outputs import CompletionOutput, RequestMetrics, RequestOutput
from support.documents import document, lines_document

BOOK = document("The sky is blue.", "The pass key is 28884.", "The sky is blue.")


def answer_with(*citations, documents=(BOOK,), attention=None):
    pages = tuple(
        PageTokens(document=i, page=page.number, start=0, end=1)
        for i, d in enumerate(documents)
        for page in d.pages
    )
    output = CompletionOutput(index=0, text="", token_ids=(), finish_reason="stop")
    last = RequestOutput(
        request_id="0",
        prompt=None,
        prompt_token_ids=range(1200),
        outputs=[output],
        finished=True,
        metrics=RequestMetrics(ttft_s=2.0, num_cached_tokens=1000, recall_mean=0.97),
        attention=attention,
    )
    prompt = DocumentPrompt(question="?", token_ids=list(range(1200)), pages=pages)
    reading = Reading(prompt=prompt, text="", last=last)
    return Answer(
        question="?", documents=tuple(documents), readings=(reading,), citations=tuple(citations)
    )


def citation(kind="quoted", **fields):
    given = {"quote": "the sky is blue", "document": 0, "page": 1, "verified": False, **fields}
    return Citation(kind=kind, **given)


def console(width=80, *, is_terminal=True):
    return Console(
        file=io.StringIO(), width=width, force_terminal=is_terminal, color_system=None, height=40
    )


def printed(answer, **options):
    out = console(**options)
    show_citations(out, answer)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


CASES = [
    (citation(verified=True, end=9, num_pages=1), "✓ verified  page 1  “the sky is blue”"),
    (
        citation(verified=True, end=9, num_pages=2),
        "✓ verified  page 1  “the sky is blue”  and on 1 page more",
    ),
    (
        citation(end=9, named_page=3, num_pages=1),
        "✗ unverified  page 3  “the sky is blue”  stands on page 1",
    ),
    (
        citation(named_page=1),
        "✗ unverified  page 1  “the sky is blue”  stands nowhere in the documents",
    ),
    (
        citation(document=None, page=None),
        "✗ unverified  “the sky is blue”  stands nowhere in the documents",
    ),
    (
        citation(end=9, num_pages=2),
        "✗ unverified  page 1  “the sky is blue”  on 2 pages, none is named",
    ),
    (citation("located", end=9, num_pages=1), "· found on  page 1  “the sky is blue”"),
]


@pytest.mark.parametrize(("given", "line"), CASES)
def test_a_citation_says_what_was_found(given, line):
    """A mark, a page, the words, and what is wrong with them."""
    assert printed(answer_with(given), is_terminal=False) == [line]
    assert " ".join(printed(answer_with(given))[0].split()) == " ".join(line.split())


def test_on_a_terminal_columns_are_aligned():
    """Pages below pages, quotes below quotes."""
    first, second = printed(answer_with(CASES[0][0], CASES[6][0]))
    assert first.index("page") == second.index("page")
    assert first.index("“") == second.index("“")


def test_a_narrow_terminal_wraps_quotes_under_themselves():
    """Nothing is cut off at 40 columns."""
    long = citation(verified=True, quote="the sky is blue and the sea is green " * 3, num_pages=1)
    lines = printed(answer_with(long), width=40)
    assert len(lines) > 2
    assert all(len(line) <= 40 for line in lines)
    start = lines[0].index("“")
    assert all(line[:start].strip() == "" for line in lines[1:])


def test_a_pipe_gets_one_line_for_each_citation():
    """However long the quote is; what is longer still is shortened visibly."""
    long = citation(verified=True, quote="the sky is blue " * 40, num_pages=1)
    [line] = printed(answer_with(long), is_terminal=False)
    assert line.endswith("…”")
    assert 150 < len(line) < 260


def test_several_documents_are_named():
    """With one document its name is known; with two, each citation says which."""
    notes = lines_document("one\ntwo")
    given = citation(document=1, verified=True, num_pages=1)
    [line] = printed(answer_with(given, documents=(BOOK, notes)), is_terminal=False)
    assert "notes.txt, lines 1-2" in line


def test_the_strip_shows_where_the_answer_looked():
    """On a terminal, with the pages and shares; a pipe has no use for it."""
    answer = answer_with(citation("located", page=2, num_pages=1), attention=(0.05, 0.9, 0.05))
    out, err = console(), console()
    show_answer(out, err, answer)
    assert "█" in out.file.getvalue()
    assert "page 2 90%" in out.file.getvalue()
    piped = console(is_terminal=False)
    show_answer(piped, console(is_terminal=False), answer)
    assert "█" not in piped.file.getvalue()


def test_the_figures():
    """Tokens, cached ones, time, recall."""
    assert figures(answer_with()) == (
        "1,200 tokens · 1,000 from the cache · first token after 2.0 s · attention recall 0.970"
    )


def test_the_documents_are_named_and_what_was_left_out():
    """Three by name, the rest by number; unread files with their reason."""
    names = documents_line([document("a", name=f"{i}.pdf") for i in range(5)])
    assert names == "0.pdf, 1 page · 1.pdf, 1 page · 2.pdf, 1 page · 2 more, 2 pages"
    skipped = [Skipped(name=f"{i}.png", reason="a picture") for i in range(5)]
    lines = documents_line([BOOK], skipped).split("\n")
    assert lines[0] == "book.pdf, 3 pages"
    assert lines[1] == "not read: 0.png: a picture"
    assert lines[-1] == "not read: 2 more"


def test_pages_without_text_are_named():
    """Blank, or a picture of text: nobody takes them for read."""
    scan = document("", "words", "", "", name="scan.pdf")
    assert documents_line([scan]).split("\n")[1] == ("scan.pdf: no text on 3 of its pages (1, 3-4)")


def test_the_forecast_says_what_is_cached_and_how_long_it_takes():
    """Tokens of the context, cached ones and where, seconds."""
    nothing = Forecast(in_memory=0, on_disk=0, seconds=None)
    assert forecast_line("needle", 1200, 4096, nothing) == "needle: 1,200 of 4,096 tokens"
    some = Forecast(in_memory=400, on_disk=600, seconds=2.0)
    assert forecast_line("needle", 1200, 4096, some) == (
        "needle: 1,200 of 4,096 tokens · 1,000 cached (600 on disk) · about 2.0 s to read"
    )
