"""Characters of a prompt's text found again among its tokens."""

from hypothesis import given
from hypothesis import strategies as st

from longreach.text.offsets import tokens_before
from support.fake_async_engine import needle_tokenizer

TEXTS = st.text(st.sampled_from("ab 12.\n\u00e9e\u0301\u4e2d\U0001f600"), max_size=60)


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_a_count_never_reaches_over_its_offset(pieces):
    """The tokens before an offset spell what stands there, but for what one token may lack."""
    tokenizer, text = needle_tokenizer(), "".join(pieces)
    ids = tokenizer.encode(text, allow_special=False)
    offsets = [len("".join(pieces[:count])) for count in range(len(pieces) + 1)]
    counts = tokens_before(tokenizer, ids, text, offsets)
    assert counts == sorted(counts)
    whole = tokenizer.decode(ids)
    for offset, count in zip(offsets, counts, strict=True):
        before = b"".join(tokenizer.token_bytes(token) for token in ids[:count])
        assert whole.encode().startswith(before)
        assert len(before) <= len(text[:offset].encode())


def test_borders_of_words_are_met_exactly():
    """Where a token ends, it is counted; one that goes on is not."""
    tokenizer = needle_tokenizer()
    text = "The pass key is 28884. Remember it."
    ids = tokenizer.encode(text)
    ends = [len(tokenizer.decode(ids[:count])) for count in range(len(ids) + 1)]
    assert tokens_before(tokenizer, ids, text, ends) == list(range(len(ids) + 1))
    inside = [end - 1 for end in ends[1:]]
    assert tokens_before(tokenizer, ids, text, inside) == list(range(len(ids)))


def test_special_tokens_are_text_as_well():
    """A rendered chat's markup counts as it is written."""
    tokenizer = needle_tokenizer()
    segments = [("<|im_start|>", True), ("user\nhi", False), ("<|im_end|>", True)]
    ids = tokenizer.encode_segments(segments)
    text = "".join(part for part, _ in segments)
    assert tokens_before(tokenizer, ids, text, [0, 12, len(text) - 10, len(text)]) == [
        0,
        1,
        len(ids) - 1,
        len(ids),
    ]


def test_tokens_of_another_text_are_not_counted_after_it():
    """From the first byte that differs on, nothing is claimed."""
    tokenizer = needle_tokenizer()
    ids = tokenizer.encode("one two three")
    [count] = tokens_before(tokenizer, ids, "one six three", [13])
    assert "one two three".startswith(tokenizer.decode(ids[:count]))
    assert len(tokenizer.decode(ids[:count])) <= len("one ")
