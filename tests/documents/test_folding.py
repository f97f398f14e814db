"""Texts that are the same to a reader compare equal, and lead back to their characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.documents.folding import fold, fold_quote

ALPHABET = "aB é\u0301İßﬁ1,.-–—…\n\t \u00a0\u00ad\u200b“”'*中文、Ａ()"


@pytest.mark.parametrize(
    ("source", "folded"),
    [
        ("The  Sky\n is\tBlue", "the sky is blue"),
        ("well-known", "wellknown"),
        ("exam-\n  ple", "example"),
        ("1990-\n1995", "1990-1995"),
        ("COVID-\n19", "covid-19"),
        ("a \u2013 b", "a - b"),
        ("“it’s” «so» dogs’", "it's so dogs"),
        ("dit « so » x", "dit so x"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("ﬁne oﬃce…", "fine office..."),
        ("cafe\u0301", "café"),
        ("ＡＢ１", "ab1"),
        ("合同 的\n条款 12 页", "合同的条款12页"),
        ("the **pass key** is", "the pass key is"),
        ("İ", "i̇"),
    ],
)
def test_typography_is_folded_away(source, folded):
    """Case, white space, marks, hyphens and ligatures do not count."""
    assert fold(source).text == folded


@given(st.text(ALPHABET, max_size=60))
def test_every_character_leads_back(source):
    """Each stands for a stretch of the source, and these stretches go forward."""
    result = fold(source)
    spans = [result.span_of(at) for at in range(len(result.text))]
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(source) for start, end in spans)


@pytest.mark.parametrize(
    ("source", "quote"),
    [
        ("the key is 28884.", "288"),
        ("it costs 1,250 EUR", "250 EUR"),
        ("it costs 1,250 EUR", "costs 1"),
        ("at -5 degrees", "5 degrees"),
        ("in the isle", "he is"),
        ("version 1.5 came", "version 1"),
        ("a 28884b c", "28884"),
    ],
)
def test_a_part_of_a_word_or_number_is_not_found(source, quote):
    """A quote may not begin or end inside a word or a number."""
    assert fold(source).find(fold_quote(quote)) is None


@pytest.mark.parametrize(
    ("source", "quote", "selected"),
    [
        ("Their self-service desk.", "service desk", "service desk"),
        ("see exam-\nple 5, then", "Example 5", "exam-\nple 5"),
        ("x 288849 28884 y", "28884", "28884"),
        ("本合同自签署之日起生效", "签署之日", "签署之日"),
        ("It is “well-known” so.", "it is 'well-known'", "It is “well-known"),
        ("It is “well-known” so.", "it is well-known so", "It is “well-known” so"),
        ("the end.", "The end!", "the end"),
    ],
)
def test_a_quote_selects_the_characters_it_stands_on(source, quote, selected):
    """The offsets are those of the page's own text."""
    start, end = fold(source).find(fold_quote(quote))
    assert source[start:end] == selected


def test_nothing_is_nowhere():
    """An empty quote is not found."""
    assert fold("abc").find(fold_quote(" ' ")) is None
