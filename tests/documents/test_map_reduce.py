"""Parts hold every page once, fit the window, and their answers fit the next round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.documents.map_reduce import (
    PartAnswer,
    part_label,
    part_question,
    plan_parts,
    reduce_groups,
    reduce_messages,
)
from longreach.errors import InvalidRequestError
from support.documents import document


def count(text):
    return len(text)


def places(parts):
    return [place for part in parts for place in part.places]


def test_parts_are_cut_between_pages():
    """As many pages as fit, in order."""
    book = document(*["x" * 50] * 5)
    parts = plan_parts([book], num_tokens=200, count=count)
    assert [part.places for part in parts] == [((0, 1), (0, 2)), ((0, 3), (0, 4)), ((0, 5),)]
    assert part_label(parts[0]) == "book.pdf, page 1 to page 2"
    assert part_label(parts[2]) == "book.pdf, page 5"


def test_a_part_may_hold_several_documents():
    """Small documents share a part, each below its own header."""
    parts = plan_parts([document("a", name="a"), document("b", name="b")], num_tokens=99, count=len)
    assert [part.indices for part in parts] == [(0, 1)]
    assert part_label(parts[0]) == "a, page 1; b, page 1"


def test_a_page_beyond_the_window_is_cut_at_lines():
    """Its pieces keep its number, and no character is lost."""
    text = "\n".join(f"line {i}" for i in range(60))
    parts = plan_parts([document("a", text)], num_tokens=150, count=count)
    pieces = [p.text for part in parts for d in part.documents for p in d.pages if p.number == 2]
    assert len(pieces) > 1
    assert "".join(pieces) == text
    assert all(piece.startswith("line") for piece in pieces)


def test_a_window_without_room_is_an_error():
    """No endless halving."""
    with pytest.raises(InvalidRequestError, match="num_tokens"):
        plan_parts([document("abc")], num_tokens=10, count=count)


@given(st.lists(st.text("ab \n", max_size=120), min_size=1, max_size=8), st.integers(60, 300))
def test_every_part_fits_and_nothing_is_left_out(texts, num_tokens):
    """All text in order, in parts whose documents are within the budget."""
    book = document(*texts)
    parts = plan_parts([book], num_tokens=num_tokens, count=count)
    pages = [page for part in parts for d in part.documents for page in d.pages]
    assert [n for n, _ in dict.fromkeys((p.number, 0) for p in pages)] == [
        p.number for p in book.pages
    ]
    assert "".join(page.text for page in pages) == "".join(texts)
    assert all(count(d.text) <= num_tokens for part in parts for d in part.documents)


def test_the_question_ends_a_part():
    """The model is told that it sees a part, and may say that the answer is elsewhere."""
    text = part_question("What is the pass key?", 2, 5)
    assert text.startswith("This is part 2 of 5")
    assert text.endswith("\n\nWhat is the pass key?")
    assert PartAnswer(label="x", text="It is Not in this part.").says_nothing
    assert not PartAnswer(label="x", text="28884").says_nothing


def test_half_an_answer_is_one():
    """A part that holds one of two facts keeps it; an echo of the question is none."""
    half = 'It costs "1,250 EUR per month" [page 3]. The date is not in this part.'
    assert not PartAnswer(label="x", text=half).says_nothing
    for nothing in ('A "notice of termination" is not in this part.', '"Not in this part."'):
        assert PartAnswer(label="x", text=nothing).says_nothing


def test_the_reduce_prompt_names_the_parts():
    """Answers first, each below its pages; the question last."""
    answers = [PartAnswer(label="book.pdf, page 1 to page 2", text=" It is 5. ")]
    content = reduce_messages(answers, "What is it?")[1]["content"]
    assert "[book.pdf, page 1 to page 2]\nIt is 5.\n\nWhat is it?" in content


@given(st.lists(st.integers(1, 60), max_size=20))
def test_groups_shrink_every_round(sizes):
    """Each group but the last has at least two answers; all are kept in order."""
    answers = [PartAnswer(label=str(i), text="x" * size) for i, size in enumerate(sizes)]
    groups = reduce_groups(answers, num_tokens=100, count=count)
    assert [answer for group in groups for answer in group] == answers
    assert all(len(group) >= 2 for group in groups[:-1])
