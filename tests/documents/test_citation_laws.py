"""Whatever a page says, words of it are verified as a quote, and other words are not."""

from hypothesis import assume, given
from hypothesis import strategies as st

from longreach.documents.citations import cite
from longreach.documents.folding import fold_quote
from longreach.documents.quotes import find_quotes
from support.documents import document

WORDS = st.sampled_from([
    "the", "a", "sky", "isle", "he", "well-known", "it’s", "28884", "1,250", "-5", "1.5",
    "Straße", "ﬁsh", "café", "(see)", "end.", "“so”", "合同", "自签署之日起", "İzmir", "U.S.",
    "e.g.", "x_1", "§12", "50%", "to/from", "exam-\nple", "cafe\u0301",
])  # fmt: skip
GAPS = st.sampled_from([" ", "  ", "\n", " \n ", "\t", "\u00a0"])
MARKS = st.sampled_from(["“”", '""', "«»", "„“", "「」"])
NAMES = st.sampled_from(["(page {})", "(p. {})", "[page {}]", "（第{}页）", "— S. {}"])


def join(words, gaps):
    return "".join(w + g for w, g in zip(words, gaps, strict=False)).strip()


@st.composite
def quoted_pages(draw):
    """Pages, a number, and words that stand on that page, with other white space between."""
    pages = draw(st.lists(st.lists(WORDS, min_size=6, max_size=14), min_size=1, max_size=4))
    number = draw(st.integers(1, len(pages)))
    words = pages[number - 1]
    start = draw(st.integers(0, len(words) - 4))
    chosen = words[start : draw(st.integers(start + 4, len(words)))]
    gaps = draw(st.lists(GAPS, min_size=14, max_size=14))
    texts = [join(page, gaps) for page in pages]
    return texts, number, chosen, draw(st.lists(GAPS, min_size=14, max_size=14))


def as_answer(words, gaps, marks, name, number):
    """The words as a model would quote them: marks inside would end the quote, so they go."""
    opening, closing = marks
    quote = join(words, gaps).replace("“", "'").replace("”", "'")
    assume("\n\n" not in "".join(quote.split(" ")))
    return f"It says {opening}{quote}{closing} {name.format(number)}."


@given(quoted_pages(), MARKS, NAMES)
def test_words_of_a_page_are_verified_on_it(given_pages, marks, name):
    """With any white space and marks, and the offsets select exactly these words."""
    texts, number, words, gaps = given_pages
    answer = as_answer(words, gaps, marks, name, number)
    [quote] = find_quotes(answer)
    [citation] = cite(answer, [document(*texts)])
    assert citation.verified
    assert citation.page == citation.named_page == number
    selected = texts[number - 1][citation.start : citation.end]
    assert fold_quote(selected) == fold_quote(quote.text)


@given(quoted_pages(), MARKS, NAMES, st.data())
def test_a_changed_word_is_never_verified(given_pages, marks, name, data):
    """One word that the page does not have, anywhere in the quote."""
    texts, number, words, gaps = given_pages
    at = data.draw(st.integers(0, len(words) - 1))
    other = data.draw(st.sampled_from(["sun", "28885", "1,251", "skyy", "合约"]))
    changed = [*words[:at], other, *words[at + 1 :]]
    for citation in cite(as_answer(changed, gaps, marks, name, number), [document(*texts)]):
        assert not citation.verified


@given(quoted_pages(), MARKS, NAMES)
def test_the_wrong_page_is_never_verified(given_pages, marks, name):
    """What stands on another page alone is not cited from the one that is named."""
    texts, _, words, gaps = given_pages
    answer = as_answer(words, gaps, marks, name, len(texts) + 1)
    book = document(*texts, "Nothing of the kind stands here.")
    [citation] = cite(answer, [book])
    assert not citation.verified
    assert citation.page != citation.named_page == len(texts) + 1
    assert citation.end > citation.start


@given(st.text(max_size=300))
def test_any_answer_can_be_cited(answer):
    """No text of a model breaks it, and offsets stay within their page."""
    book = document("The sky is blue.", "“Page 12” says: 5,000.", "")
    for citation in cite(answer, [book], question=answer[:20]):
        if citation.page is not None:
            text = book.pages[citation.page - 1].text
            assert 0 <= citation.start <= citation.end <= len(text)
