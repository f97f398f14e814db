"""Encoding in pieces, special tokens in text of strangers, decoding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, processors

from longreach.errors import InvalidRequestError, UnsupportedModelError
from longreach.text import Tokenizer
from longreach.text.pieces import SAFE_PATTERNS, cut
from longreach.text.token_cache import PrefixTokenCache
from support.text import ADDED, CORPUS, SPECIALS, bare_core, make_core

# Text that meets every alternative of the patterns, at cuts and away from them.
CHARS = "\n \tabZ7.é\u0301\u00a0\u2028ſ한"
WORDS = (
    "\r\n",
    "  ",
    "42",
    "'s",
    "'LL",
    "e\u0301",
    "!?",
    "the",
    "\u1100\u1161",
    "你好",
    "👋🏽",
    "<|im_",
)
FRAGMENTS = st.sampled_from([*CHARS, *WORDS, "end|>", *SPECIALS, *ADDED])
TEXTS = st.one_of(
    st.lists(FRAGMENTS, max_size=60).map("".join),
    st.text(max_size=80),
    st.lists(st.sampled_from("\n ab1."), max_size=60).map("".join),
)
_CORE = make_core()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(make_core())


@pytest.mark.parametrize("pattern", sorted(SAFE_PATTERNS))
def test_pieces_encode_as_the_whole(pattern):
    """For every pattern held to be safe, encoding in pieces equals encoding the whole text."""
    core = make_core(pattern)
    pieces = Tokenizer(make_core(pattern), piece_chars=3)
    assert pieces._is_cuttable

    @settings(max_examples=120)
    @given(TEXTS)
    @example("a\n\nb c" * 5)
    @example("x's a\r\n1  b" * 5)
    def check(text):
        assert pieces.encode(text) == core.encode(text).ids

    check()


def test_the_cut_is_wrong_for_other_patterns():
    """GPT-2's pre-tokenizer lets whitespace look ahead, so it is not cut; cutting would differ."""
    core, tokenizer = make_core(None), Tokenizer(make_core(None), piece_chars=3)
    text = "aaa\n\nb aa\n\nc"
    assert not tokenizer._is_cuttable
    assert tokenizer.encode(text) == core.encode(text).ids
    assert [i for piece in cut(text, 3) for i in core.encode(piece).ids] != core.encode(text).ids


@given(TEXTS, st.integers(1, 20))
@settings(max_examples=100)
def test_pieces_join_to_the_text(text, piece_chars):
    """Pieces join to the text, and none but the last is shorter than asked."""
    pieces = list(cut(text, piece_chars))
    assert "".join(pieces) == text
    assert all(len(piece) >= piece_chars for piece in pieces[:-1])


@given(st.lists(st.sampled_from(["word ", "line\n", "12\n", "..."]), min_size=30).map("".join))
@settings(max_examples=25)
def test_a_prefix_shares_its_pieces(text):
    """What follows a text changes none of its pieces but those within two lengths of its end."""
    known = [p for p in _starts(text, 8) if p + 16 <= len(text)]
    assert known == [p for p in _starts(text + "tail\nmore", 8) if p + 16 <= len(text)]


def _starts(text: str, piece_chars: int) -> list[int]:
    lengths = [len(piece) for piece in cut(text, piece_chars)]
    return [sum(lengths[:i]) for i in range(len(lengths))]


def test_a_text_seen_before_is_not_encoded_again(tokenizer, monkeypatch):
    """A second question over a document encodes its tail alone."""
    tokenizer = Tokenizer(make_core(), piece_chars=100)
    document = "".join(CORPUS) * 40
    first = tokenizer.encode(document + "\nWho?")
    asked = []
    encode = tokenizer._encode_batch
    monkeypatch.setattr(tokenizer, "_encode_batch", lambda p: asked.extend(p) or encode(p))
    second = tokenizer.encode(document + "\nWhere?")
    assert sum(map(len, asked)) < 400
    assert first[:1000] == second[:1000]
    assert second == make_core().encode(document + "\nWhere?").ids


def test_the_cache_keeps_to_its_bound():
    """The cache drops the pieces used least recently, and none for one larger than itself."""
    cache, asked = PrefixTokenCache(max_bytes=40), []

    def encode(pieces):
        asked.extend(pieces)
        return [np.arange(len(piece), dtype=np.int32) for piece in pieces]

    for pieces in (["aaaa", "bbbb"], ["aaaa"], ["cccc"]):
        cache.encode(pieces, encode)
    assert (cache.num_bytes, len(cache)) == (32, 2)
    assert asked == ["aaaa", "bbbb", "cccc"]
    cache.encode(["aaaa", "cccc", "x" * 20], encode)
    assert (cache.num_bytes, len(cache)) == (32, 2)
    assert asked == ["aaaa", "bbbb", "cccc", "x" * 20]


@given(TEXTS)
@settings(max_examples=100)
def test_text_of_strangers_makes_no_special_token(tokenizer, text):
    """With allow_special=False no special id comes out, and the text survives the round trip."""
    ids = tokenizer.encode(text, allow_special=False)
    assert not tokenizer.special_ids & set(ids)
    composed = _CORE.normalizer.normalize_str(text)
    assert tokenizer.decode(ids, skip_special_tokens=False) == composed


def test_special_tokens_in_trusted_text(tokenizer):
    """By default the text of a special token is that token, as in `tokenizers` itself."""
    text = "<|im_start|>user\nHi<|im_end|><tool_call>"
    assert tokenizer.encode(text) == make_core().encode(text).ids
    assert set(tokenizer.encode(text)) & tokenizer.special_ids
    assert tokenizer.token_to_id("<tool_call>") in tokenizer.encode(text, allow_special=False)


def test_segments_are_encoded_by_their_kind(tokenizer):
    """A special segment is one token; the same text in a plain segment is many."""
    end = tokenizer.special_tokens["<|im_end|>"]
    assert tokenizer.encode_segments([("<|im_end|>", True)]) == [end]
    plain = tokenizer.encode_segments([("a", False), ("<|im_end|>", False)])
    assert end not in plain
    assert tokenizer.decode(plain) == "a<|im_end|>"
    assert tokenizer.encode_segments([]) == []


@pytest.mark.parametrize(
    "token",
    [
        AddedToken("<mask>", lstrip=True, special=True),
        AddedToken("<mask>", rstrip=True, special=True),
        AddedToken("<mask>", normalized=True, special=True),
        AddedToken("<|im_end|>>", normalized=False),
    ],
    ids=["lstrip", "rstrip", "normalized", "overlapping"],
)
def test_unusual_added_tokens_are_left_to_the_core(token):
    """Tokens that strip, are normalised or overlap are matched by `tokenizers`, in both modes."""
    core = make_core()
    core.add_tokens([token])
    tokenizer = Tokenizer(make_core_with(token), piece_chars=3)
    for text in ("a  <mask>  b c d", "x<|im_end|>>y", "<|im_end|>"):
        assert tokenizer.encode(text) == core.encode(text).ids
        assert not tokenizer.special_ids & set(tokenizer.encode(text, allow_special=False))


def make_core_with(token: AddedToken):
    core = make_core()
    core.add_tokens([token])
    return core


def test_an_added_token_with_space_forbids_cuts():
    """A token that holds whitespace could span a cut."""
    assert not Tokenizer(make_core_with(AddedToken("see you", normalized=False)))._is_cuttable


def test_what_the_post_processor_adds():
    """A template processor's tokens come once around the text, and only when asked for."""
    core = make_core()
    start, end = core.token_to_id("<|im_start|>"), core.token_to_id("<|im_end|>")
    core.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>",
        special_tokens=[("<|im_start|>", start), ("<|im_end|>", end)],
    )
    tokenizer = Tokenizer(core, piece_chars=4)
    bare = tokenizer.encode("Hello there, hello here", add_special_tokens=False)
    assert tokenizer.encode("Hello there, hello here") == [start, *bare, end]


def test_truncation_and_padding_of_the_file_are_off():
    """A tokenizer file may carry truncation; a prompt is never cut silently."""
    core = make_core()
    core.enable_truncation(4)
    core.enable_padding(length=400)
    text = "one two three four five six"
    assert Tokenizer(core).encode(text) == make_core().encode(text).ids


@given(st.lists(st.integers(-2, 520), max_size=40), st.booleans())
@settings(max_examples=150)
def test_decode_is_that_of_tokenizers(tokenizer, ids, skip):
    """Any ids read as `tokenizers` reads them: broken UTF-8, special, added and unknown ids."""
    known = [i for i in ids if i >= 0]
    expected = _CORE.decode(known, skip_special_tokens=skip)
    assert tokenizer.decode(ids, skip_special_tokens=skip) == expected


def test_names_and_ids():
    """Named tokens, sizes and single tokens are at hand."""
    tokenizer = Tokenizer(make_core(), special_names={"eos_token": "<|im_end|>"})
    end = tokenizer.token_to_id("<|im_end|>")
    assert tokenizer.eos_token_id == end
    assert Tokenizer(make_core()).eos_token_id is None
    assert tokenizer.id_to_token(end) == tokenizer.decode_token(end) == "<|im_end|>"
    assert tokenizer.id_to_token(tokenizer.vocab_size) is None
    assert tokenizer.vocab_size == make_core().get_vocab_size()
    assert tokenizer.token_bytes(tokenizer.token_to_id("Ġ")) == b" "
    assert set(tokenizer.special_tokens) == set(SPECIALS)


def test_without_special_tokens():
    """A tokenizer without added tokens works."""
    assert Tokenizer(bare_core()).encode("a b") == bare_core().encode("a b").ids


def test_lone_surrogates_are_refused(tokenizer):
    """Text that is not Unicode is a request error, not a crash of the core."""
    with pytest.raises(InvalidRequestError, match=r"text is .* expected Unicode without lone surr"):
        tokenizer.encode("a\ud800b")


def test_only_byte_level_is_supported():
    """Another decoder would be read wrongly, so it is refused."""
    core = make_core()
    core.decoder = decoders.Metaspace()
    with pytest.raises(UnsupportedModelError, match="decoder is 'Metaspace'"):
        Tokenizer(core)
