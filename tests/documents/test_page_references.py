"""Pages are named in many ways."""

import pytest

from longreach.documents.page_references import find_references
from support.documents import document, lines_document


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("see page 12.", (12,)),
        ("[page 12]", (12,)),
        ("(p. 12)", (12,)),
        ("(p12)", (12,)),
        ("pp. 3-5", (3, 4, 5)),
        ("pages 3 and 7", (3, 7)),
        ("pages 3–4", (3, 4)),
        ("auf S. 12 steht", (12,)),
        ("Seiten 3 bis 5", (3, 4, 5)),
        ("见第12页", (12,)),
        ("第 3 至 5 頁", (3, 4, 5)),
        ("12ページ", (12,)),
        ("pages 3-90000", (3, 90000)),
    ],
)
def test_pages_are_understood(answer, numbers):
    """English, German, Chinese and Japanese, one page or several."""
    [reference] = find_references(answer)
    assert (reference.unit, reference.numbers) == ("page", numbers)
    assert str(numbers[0]) in answer[reference.start : reference.end]


@pytest.mark.parametrize("answer", ["12 pages", "homepage 12", "step 12", "page twelve", "12"])
def test_other_numbers_are_not_pages(answer):
    """A number is a page only where it is called one."""
    assert find_references(answer) == []


@pytest.mark.parametrize("answer", ["lines 4-5", "[lines 4-5]", "Zeilen 4 bis 5", "第4-5行"])
def test_lines_mean_the_stretch_that_holds_them(answer):
    """A file without pages is cited by its lines; a PDF has none."""
    [reference] = find_references(answer)
    notes = lines_document("one\ntwo\nthree", "four\nfive")
    assert [page.number for page in reference.pages_of(notes)] == [2]
    assert reference.pages_of(document("a", "b", "c", "d", "e")) == ()
