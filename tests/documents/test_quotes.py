"""What an answer quotes, and from which page it says so."""

import pytest

from longreach.documents.quotes import find_quotes


def texts(answer):
    return [quote.text for quote in find_quotes(answer)]


def pages(answer):
    return [q.reference and q.reference.numbers[0] for q in find_quotes(answer)]


@pytest.mark.parametrize(
    "answer",
    [
        'It says "the sky is blue".',
        "It says “the sky is blue”.",
        "Da steht „the sky is blue“.",
        "Il dit «the sky is blue».",
        "Da steht »the sky is blue«.",
        "> the sky is blue",
        "As follows:\n\n> the sky\n> is blue\n\nSo it is.",
        '> "the sky is blue"',
        "「the sky is blue」",
    ],
)
def test_quotation_marks_of_many_languages(answer):
    """Marks and block quotes hold a quote."""
    assert [text.replace("\n", " ") for text in texts(answer)] == ["the sky is blue"]


def test_a_word_in_marks_is_a_term():
    """One word is no quote, unless it is a number."""
    assert texts('The "key" is "28884", not "合同".') == ["28884"]


def test_an_ellipsis_divides():
    """What is left out lies between two quotes."""
    assert texts("“the sky is [...] always so blue… and deep”") == [
        "the sky is",
        "always so blue",
        "and deep",
    ]


def test_an_open_mark_reaches_no_other_paragraph():
    """An inch mark does not swallow the rest of an answer."""
    assert texts('A 5" pipe.\n\nIt says "the sky is blue".') == ["the sky is blue"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('"a b c" (page 1) and "d e f" (page 2)', [1, 2]),
        ('Page 1 says "a b c", page 2 says "d e f".', [1, 2]),
        ('"a b c" is on page 1, while "d e f" is on page 2.', [1, 2]),
        ('On page 7: "a b c" and "d e f".', [7, 7]),
        ('"a b c" and "d e f" (see p. 7)', [7, 7]),
        ("Page 3 tells of it.\n\n> a b c\n\n— page 4", [4]),
        ('It says "a b on page 9 c".', [None]),
        ('"a b c"' + " x" * 300 + " page 3", [None]),
    ],
)
def test_each_quote_has_its_page(answer, expected):
    """Behind it in brackets, else on the side where the answer names its pages."""
    assert pages(answer) == expected
