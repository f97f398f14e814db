"""Incremental text equals text decoded at once, and stop strings are found across token borders."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.text import Detokenizer, Tokenizer
from longreach.text.detokenizer import StopStrings
from support.text import make_core

TOKENIZER = Tokenizer(make_core())
TEXT_IDS = st.lists(
    st.sampled_from(["the ", "key", "é", "👋🏽", "你好", "a", "b", "ab", "<|im_end|>"])
).map(lambda parts: TOKENIZER.encode("".join(parts)))
IDS = st.one_of(TEXT_IDS, st.lists(st.integers(0, TOKENIZER.vocab_size), max_size=30))
STOPS = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3)


def split(draw, items):
    """`items` in random consecutive groups, some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(items)), max_size=5)))
    return [items[a:b] for a, b in zip([0, *cuts], [*cuts, len(items)], strict=True)]


@given(st.data(), IDS, st.booleans())
@settings(max_examples=80)
def test_any_split_gives_the_text_decoded_at_once(data, ids, skip):
    """Fed in any groups, ids give the text that decoding them at once gives."""
    detokenizer = Detokenizer(TOKENIZER, skip_special_tokens=skip)
    pieces = [detokenizer.feed(group) for group in split(data.draw, ids)] + [detokenizer.finish()]
    assert "".join(pieces) == TOKENIZER.decode(ids, skip_special_tokens=skip) == detokenizer.text
    assert detokenizer.stop is None


def stop_by_characters(text, stops, include):
    """The definition: read characters one by one until the text ends with a stop string."""
    for end in range(1, len(text) + 1):
        met = [stop for stop in stops if text[:end].endswith(stop)]
        if met:
            stop = max(met, key=len)
            return text[: end if include else end - len(stop)], stop
    return text, None


@given(st.data(), st.text(alphabet="abc", max_size=30), STOPS, st.booleans())
@settings(max_examples=150)
def test_stop_strings_are_found_in_any_pieces(data, text, stops, include):
    """The stop string that ends first ends the text, however the text comes in pieces."""
    finder = StopStrings(stops, include=include)
    given_out = "".join(finder.add(piece) for piece in split(data.draw, text)) + finder.finish()
    assert (given_out, finder.found) == stop_by_characters(text, stops, include)


@given(st.text(alphabet="abc", max_size=30), STOPS)
@settings(max_examples=100)
def test_nothing_is_held_back_without_need(text, stops):
    """What is held back is the longest end that can still become a stop string, no more."""
    finder = StopStrings(stops)
    shown = ""
    for end, char in enumerate(text, start=1):
        shown += finder.add(char)
        if finder.found is not None:
            return
        ends = [text[end - n : end] for n in range(1, end + 1)]
        begun = [e for e in ends if any(s.startswith(e) and s != e for s in stops)]
        assert shown == text[: end - max(map(len, begun), default=0)]


@given(st.data(), IDS, STOPS, st.booleans(), st.integers(0, 6))
@settings(max_examples=80)
def test_stop_strings_over_tokens(data, ids, stops, include, min_tokens):
    """Groups of tokens make no difference, with stop strings and min_tokens too."""
    options = {"stop": stops, "include_stop_str_in_output": include, "min_tokens": min_tokens}
    one, many = Detokenizer(TOKENIZER, **options), Detokenizer(TOKENIZER, **options)
    for token in ids:
        one.feed([token])
    for group in split(data.draw, ids):
        many.feed(group)
    one.finish()
    many.finish()
    assert (one.text, one.stop) == (many.text, many.stop)


def test_a_stop_string_across_tokens():
    """A stop string that begins in one token and ends in another is cut off whole."""
    ids = TOKENIZER.encode("The pass key is 28884. Remember it")
    detokenizer = Detokenizer(TOKENIZER, stop=["84. Rem"])
    shown = [detokenizer.feed([token]) for token in ids]
    assert "".join(shown) == detokenizer.text == "The pass key is 288"
    assert (detokenizer.stop, detokenizer.finish(), detokenizer.feed(ids)) == ("84. Rem", "", "")


def test_a_stop_string_that_is_kept():
    """include_stop_str_in_output keeps the stop string and drops what its token holds after it."""
    detokenizer = Detokenizer(TOKENIZER, stop=["ke"], include_stop_str_in_output=True)
    assert detokenizer.feed(TOKENIZER.encode("The pass key")) == "The pass ke"
    assert detokenizer.stop == "ke"


@pytest.mark.parametrize(("min_tokens", "expected"), [(0, ""), (1, "a"), (2, "aa")])
def test_min_tokens_delays_stop_strings(min_tokens, expected):
    """A stop string counts only where it ends after the first min_tokens tokens."""
    token = TOKENIZER.token_to_id("a")
    detokenizer = Detokenizer(TOKENIZER, stop=["a"], min_tokens=min_tokens)
    assert detokenizer.feed([token] * 4) == expected
    assert detokenizer.stop == "a"


def test_a_stop_string_may_begin_within_min_tokens():
    """Only its end has to lie after the first tokens, and what was held back stays held back."""
    token = TOKENIZER.token_to_id("a")
    detokenizer = Detokenizer(TOKENIZER, stop=["aaa"], min_tokens=2)
    assert [detokenizer.feed([token]) for _ in range(3)] == ["", "", ""]
    assert (detokenizer.text, detokenizer.stop) == ("", "aaa")


def test_an_unfinished_character_is_held_back():
    """Bytes of a character come out when it is whole; at the end the broken one reads U+FFFD."""
    ids = [TOKENIZER.token_to_id(token) for token in ("ð", "Ł", "ĳ", "ĭ")]  # 👋 byte by byte
    detokenizer = Detokenizer(TOKENIZER)
    assert [detokenizer.feed([token]) for token in ids] == ["", "", "", "👋"]
    detokenizer.feed(ids[:2])
    assert detokenizer.finish() == "\ufffd"
