"""Quotes are verified against the documents; what quotes nothing is located."""

from longreach.documents.citations import PageLook, cite
from support.documents import document, lines_document

BOOK = document(
    "The sky is blue. The exam-\nple was “well-known”.",
    "The pass key is 28884. Remember it. 28884 is the pass key.",
    "The sky is blue. The fee is 1,250 EUR per month, and more in winter.",
    "One of the special magic words for quiet-harbor is: lantern.\nA lantern is a lamp.",
    "A harbor. Nobody knows why.",
)


def text_of(citation, documents=(BOOK,)):
    page = documents[citation.document].pages[citation.page - 1]
    return page.text[citation.start : citation.end]


def test_a_quote_on_its_page_is_verified():
    """Named page, same words: verified, and the offsets select it."""
    [citation] = cite('"the example was well-known" (page 1)', [BOOK])
    assert citation.verified
    assert (citation.kind, citation.page, citation.named_page) == ("quoted", 1, 1)
    assert text_of(citation) == "The exam-\nple was “well-known"


def test_a_quote_on_another_page_is_not():
    """It points to where the words are, and says which page was claimed."""
    [citation] = cite('Page 1 says "the pass key is 28884".', [BOOK])
    assert not citation.verified
    assert (citation.page, citation.named_page) == (2, 1)
    assert text_of(citation) == "The pass key is 28884"


def test_a_changed_word_is_found_nowhere():
    """The claimed page is kept, nothing is selected."""
    first, *located = cite('"the pass key was 28884" (page 2)', [BOOK])
    assert (first.verified, first.page, first.start, first.end) == (False, 2, 0, 0)
    assert first.num_pages == 0
    assert [(c.kind, c.page, c.verified) for c in located] == [("located", 2, False)]


def test_a_page_that_does_not_exist_is_told():
    """Page 99 of five pages: nothing to open, but its number is known."""
    [citation] = cite('"no such words at all" (page 99)', [BOOK])
    assert (citation.document, citation.page, citation.named_page) == (None, None, 99)


def test_without_a_page_one_place_is_needed():
    """Exactly one page holds it: verified. A turn of phrase on several is not."""
    [once] = cite('It says "the fee is 1,250 EUR".', [BOOK])
    assert (once.verified, once.page, once.num_pages) == (True, 3, 1)
    [twice] = cite('It says "the sky is blue".', [BOOK])
    assert (twice.verified, twice.page, twice.num_pages) == (False, 1, 2)


def test_a_long_quote_may_stand_on_several_pages():
    """A whole sentence that is repeated was still said: on the first of them."""
    twice = document("x", "All the birds are already there.", "All the birds are already there.")
    [citation] = cite("“All the birds are already there.”", [twice])
    assert (citation.verified, citation.page, citation.num_pages) == (True, 2, 2)


def test_lines_are_named_where_there_are_no_pages():
    """A text file is cited by its lines."""
    notes = lines_document("one\ntwo is here", "three\nfour is here")
    [right, wrong] = cite('"two is here" (lines 1-2), "four is here" (lines 1-2)', [notes])
    assert (right.verified, right.page) == (True, 1)
    assert (wrong.verified, wrong.page) == (False, 2)


def test_the_document_named_beside_the_page_counts():
    """With several documents, "b.pdf, page 1" is not page 1 of another."""
    a, b = document("the sky is blue", name="a.pdf"), document("it is night", name="b.pdf")
    [citation] = cite('"the sky is blue" (b.pdf, page 1)', [a, b])
    assert (citation.verified, citation.document) == (False, 0)
    [citation] = cite('"the sky is blue" (a.pdf, page 1)', [a, b])
    assert (citation.verified, citation.document) == (True, 0)


def test_a_name_inside_a_longer_one_is_not_named():
    """An annual-report.pdf does not name report.pdf: its page 1 supports nothing here."""
    short = document("the sky is very green", name="report.pdf")
    long = document("it is night", name="annual-report.pdf")
    for documents in ([short, long], [long, short]):
        [citation] = cite('"the sky is very green" [annual-report.pdf, page 1]', documents)
        assert not citation.verified
        assert documents[citation.document] is short
    [citation] = cite('"the sky is very green" [report.pdf, page 1]', [short, long])
    assert citation.verified


def test_the_document_of_another_quote_does_not_count():
    """Each page belongs to the document named with it, where one is; else to the last named."""
    a, b = document("red is a colour", "so is blue", name="a.txt"), document("x", "y", name="b.txt")
    first, second = cite(
        'It says "red is a colour" [a.txt, page 1] and "so is blue" [b.txt, page 2].', [a, b]
    )
    assert (first.verified, second.verified, second.document) == (True, False, 0)
    both = cite('In a.txt, page 1: "red is a colour"; page 2: "so is blue".', [b, a])
    assert [(c.verified, c.document) for c in both] == [(True, 1), (True, 1)]


def test_an_answer_without_a_quote_is_located():
    """Its number is what tells; the sentence around it is shown."""
    [citation] = cite("The pass key is 28884.", [BOOK], question="What is the pass key?")
    assert (citation.kind, citation.page, citation.verified) == ("located", 2, False)
    assert citation.quote == text_of(citation) == "The pass key is 28884."


def test_a_number_on_many_pages_of_a_short_text_is_located():
    """It is no coincidence that the answer gives it: its first page, and how many hold it."""
    pages = ["a", "The pass key is 28884.", "b", "Key: 28884.", "28884", "c", "28884!", "d", "e"]
    [citation] = cite("It is 28884.", [document(*pages)], question="What is the pass key?")
    assert (citation.quote, citation.num_pages) == ("The pass key is 28884.", 1)
    [citation] = cite("28884", [document(*pages)], question="Which number?")
    assert (citation.page, citation.num_pages) == (2, 4)


def test_a_word_is_located_with_the_help_of_the_question():
    """A rare word alone may be chance; where the question's rare words stand too, it is not."""
    question = "What is the special magic word for quiet-harbor?"
    answer = "The special magic word for quiet-harbor is: lantern."
    [citation] = cite(answer, [BOOK], question=question)
    assert citation.page == 4
    assert citation.quote.endswith("is: lantern.")


def test_two_values_are_located_on_two_pages():
    """Pages are added while they explain more of the answer."""
    pages = {c.page for c in cite("It is 28884, and 1,250 is the fee.", [BOOK])}
    assert pages == {2, 3}


def test_no_evidence_no_place():
    """An answer that says nothing is not found on a page that happens to share a word."""
    assert cite("I do not know.", [BOOK], question="Who?") == []
    question = "What is the special magic word for quiet-harbor?"
    wrong = "The special magic word for quiet-harbor is: kettle."
    assert cite(wrong, [BOOK], question=question) == []
    assert cite("", [BOOK]) == []
    assert cite("Something.", []) == []


def test_attention_decides_between_equals():
    """Where several pages hold the answer, the one that was looked at comes first."""
    twin = document("a", "Call 555 1234 now.", "b", "Call 555 1234 now.")
    [first] = cite("555 1234", [twin])
    assert (first.page, first.num_pages, first.share) == (2, 2, None)
    looked = [PageLook(document=0, page=2, share=0.1), PageLook(document=0, page=4, share=0.7)]
    [first] = cite("555 1234", [twin], looked=looked)
    assert (first.page, first.share) == (4, 0.7)


def test_the_most_looked_at_page_is_first():
    """Located pages are ordered by the attention that fell on them."""
    looked = [PageLook(document=0, page=2, share=0.1), PageLook(document=0, page=3, share=0.7)]
    found = cite("It is 28884, and 1,250 is the fee.", [BOOK], looked=looked)
    assert [(c.page, c.share) for c in found] == [(3, 0.7), (2, 0.1)]
