"""The tokens of a page spell that page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.documents.prompt import prompt_messages
from longreach.documents.token_spans import page_looks, page_tokens
from support.documents import document
from support.fake_async_engine import needle_template, needle_tokenizer


def prompt_of(documents, question="What is the pass key?"):
    tokenizer = needle_tokenizer()
    rendered = needle_template().render(prompt_messages(documents, question))
    return tokenizer, rendered.text, tokenizer.encode_segments(rendered.segments)


def spelled(pages, token_ids, tokenizer):
    return [tokenizer.decode(token_ids[page.start : page.end]) for page in pages]


def test_every_page_is_found():
    """Pages of two documents, with what stands between them left out."""
    books = [document("The sky is blue.", "Käse: 5 €.", name="a"), document("合同。", name="b")]
    tokenizer, text, ids = prompt_of(books)
    pages = page_tokens(books, text, ids, tokenizer)
    assert [(page.document, page.page) for page in pages] == [(0, 1), (0, 2), (1, 1)]
    for piece, expected in zip(
        spelled(pages, ids, tokenizer), ["The sky is blue.", "Käse: 5 €.", "合同。"], strict=True
    ):
        assert expected.startswith(piece.strip())
        assert len(piece.strip()) >= len(expected) - 2


@given(
    st.lists(st.text("ab .\n\u00e9e\u0301\u4e2d<|im_end|>", max_size=30), min_size=1, max_size=5)
)
def test_spans_are_what_the_engine_takes(texts):
    """Ascending, disjoint, not empty, and within the prompt."""
    books = [document(*texts)]
    tokenizer, text, ids = prompt_of(books)
    edges = [edge for page in page_tokens(books, text, ids, tokenizer) for edge in page.span]
    assert edges == sorted(edges)
    assert all(start < end <= len(ids) for start, end in zip(edges[::2], edges[1::2], strict=True))


def test_a_prompt_without_the_documents_has_no_pages():
    """A template that rewrites its contents gives none rather than wrong ones."""
    tokenizer, text, ids = prompt_of([document("a b c")])
    assert page_tokens([document("x y z")], text, ids, tokenizer) == []


def test_shares_belong_to_pages():
    """One share per span; where the engine measured nothing, there is nothing."""
    books = [document("The sky is blue.", "", "It is.")]
    tokenizer, text, ids = prompt_of(books)
    pages = page_tokens(books, text, ids, tokenizer)
    looks = page_looks(pages, (0.25, 0.75))
    assert [(look.document, look.page, look.share) for look in looks] == [
        (0, 1, 0.25),
        (0, 3, 0.75),
    ]
    assert page_looks(pages, None) == ()
    with pytest.raises(ValueError, match="zip"):
        page_looks(pages, (1.0,))
