"""The pages that speak of a question come first, and no more of them than fit."""

from hypothesis import given
from hypothesis import strategies as st

from longreach.documents.search import best_pages, score_pages
from support.documents import document

BOOK = document(
    "The sky is blue and the sea is blue.",
    "The pass key is 28884.",
    "A key opens a door. The door is red.",
    "合同自签署之日起生效，有效期三年。",
)


def count(text):
    return len(text.split())


def numbers(selection):
    return [number for _, number, _ in selection.scores]


def test_the_page_with_the_rarest_words_is_best():
    """A word on few pages weighs more; pages without any word of the question are left out."""
    assert numbers(best_pages([BOOK], "What is the pass key?", num_tokens=999, count=count)) == [
        2,
        3,
        1,
    ]
    assert numbers(best_pages([BOOK], "door", num_tokens=999, count=count)) == [3]
    assert numbers(best_pages([BOOK], "合同的有效期", num_tokens=999, count=count)) == [4]


def test_the_excerpt_is_in_order_of_reading():
    """However they rank, pages stand as in the document, with their own numbers and anchors."""
    found = best_pages([BOOK], "pass key, sky", num_tokens=999, count=count).excerpt
    assert found.places == ((0, 1), (0, 2), (0, 3))
    assert "[page 2]\nThe pass key" in found.documents[0].text


def test_no_more_than_fits():
    """The budget holds; what is too large makes room for what is not."""
    selection = best_pages([BOOK], "door key", num_tokens=16, count=count)
    assert numbers(selection) == [2]
    assert selection.num_pages == 4
    assert best_pages([BOOK], "key", num_tokens=3, count=count).excerpt.documents == ()


def test_a_question_about_nothing_gets_the_beginning():
    """No page has a word of it: the first pages are as good as any."""
    assert numbers(best_pages([BOOK], "zzz", num_tokens=19, count=count)) == [1]


def test_documents_keep_their_places():
    """The second document's page is found as such."""
    other = document("Nothing here.", "The fee is 5 EUR.", name="other.pdf")
    selection = best_pages([BOOK, other], "What is the fee?", num_tokens=16, count=count)
    assert selection.excerpt.indices == (1,)
    assert selection.excerpt.documents[0].name == "other.pdf"


def test_scores_of_a_worked_example():
    """BM25 by hand: two texts of 2 and 4 words, mean 3, one holds the word twice."""
    [none, some] = score_pages(["a b", "key key c d"], "key")
    rarity = 0.6931471805599453  # ln(1 + (2 - 1 + 0.5) / (1 + 0.5))
    assert none == 0.0
    assert abs(some - rarity * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 4 / 3))) < 1e-12


@given(st.lists(st.text("ab c", max_size=20), max_size=6), st.text("abc ", max_size=6))
def test_more_room_never_loses_the_best(texts, question):
    """The budget holds at any size, and the best page that fits alone stays when it grows."""
    book = document(*texts, "a")
    small, large = (best_pages([book], question, num_tokens=n, count=count) for n in (12, 40))
    for selection, budget in ((small, 12), (large, 40)):
        assert sum(count(d.text) for d in selection.excerpt.documents) <= budget
    assert len(numbers(small)) <= len(numbers(large))
