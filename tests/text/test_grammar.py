"""Grammars token by token: what may come next, when an answer may end, what is refused."""

import builtins
import json
import random
import re

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.errors import InvalidRequestError, LongreachError
from longreach.text import Tokenizer
from longreach.text.grammar import KEPT_GRAMMARS, GrammarCompiler
from support.text import make_core

TOKENIZER = Tokenizer(make_core(), special_names={"eos_token": "<|im_end|>"})
ENDS = [TOKENIZER.special_tokens[name] for name in ("<|im_end|>", "<|endoftext|>")]
PADDED = TOKENIZER.vocab_size + 100
COMPILER = GrammarCompiler(TOKENIZER, PADDED, ENDS)


def allowed(matcher):
    words = matcher.bitmask()
    return [i for i in range(32 * len(words)) if int(words[i // 32]) >> i % 32 & 1]


def write(matcher, seed=0, limit=2000):
    """A random answer that the grammar allows; whether it ended."""
    draw, tokens = random.Random(seed), []
    while not matcher.is_finished and len(tokens) < limit:
        token = draw.choice(allowed(matcher))
        matcher.advance(token)
        if token in ENDS:
            break
        tokens.append(token)
    return TOKENIZER.decode(tokens), len(tokens) < limit


def texts(max_size=12):
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)


@given(st.lists(texts(), min_size=1, max_size=6), st.integers(0, 9))
@settings(max_examples=60)
def test_a_choice_is_one_of_the_texts(choices, seed):
    """Whatever characters the texts hold, an answer is one of them."""
    answer, ended = write(COMPILER.matcher("choice", json.dumps(choices)), seed)
    assert ended
    assert answer in choices


@pytest.mark.parametrize("text", ["\U0002f800", "cafe\u0301", "\u212b, 1 \u2126"])
def test_a_choice_that_the_tokenizer_would_normalise_is_written_as_it_is(text):
    """Texts that are not in normal form C come out to the byte: the tokenizer would change them."""
    matcher, tokens = COMPILER.matcher("choice", json.dumps([text])), []
    while not matcher.is_finished:
        token = allowed(matcher)[0]
        matcher.advance(token)
        tokens.append(token)
    written = b"".join(TOKENIZER.token_bytes(token) for token in tokens if token not in ENDS)
    assert written == text.encode()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "pattern", ["[ab]{1,3}-[0-9]{2}", r"\d{4}(-\d\d){2}", "ja|nein|vielleicht", "(über|unter)!?"]
)
def test_a_regex_matches_as_a_whole(pattern, seed):
    """Answers match from the first character to the last."""
    answer, ended = write(COMPILER.matcher("regex", pattern), seed)
    assert ended
    assert re.fullmatch(pattern, answer)


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"type": "integer", "minimum": -5, "maximum": 70},
            {"enum": ["a", 'quote"', "ünï", 3]},
            {"type": "string", "maxLength": 4},
            {"type": "string", "pattern": "^[a-c]{2}$"},
        ]
    ),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items, "maxItems": 2}, inner),
        st.builds(
            lambda parts: {
                "type": "object",
                "properties": parts,
                "required": list(parts),
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from(["x", "y z", "ä"]), inner, max_size=3),
        ),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
    ),
    max_leaves=5,
)


@given(SCHEMAS, st.integers(0, 9))
@settings(max_examples=60)
def test_answers_to_a_schema_validate(schema, seed):
    """Every complete answer is JSON that the schema accepts."""
    answer, ended = write(COMPILER.matcher("json", json.dumps(schema)), seed)
    assert ended
    jsonschema_rs.validate(schema, json.loads(answer))


def test_a_lark_grammar_with_a_schema_inside():
    """Lark rules, and JSON schemas within them, hold."""
    lark = 'start: "<tool_call>\\n" call "\\n</tool_call>"\ncall: %json {"enum": [{"name": "f"}]}'
    answer, ended = write(COMPILER.matcher("grammar", lark))
    assert ended
    begin, call, end = answer.partition("{")[0], answer[11:-12], answer[-13:]
    assert (begin, end) == ("<tool_call>\n", "\n</tool_call>")
    assert json.loads(call) == {"name": "f"}


def test_the_end_is_allowed_exactly_where_the_grammar_is_satisfied():
    """End ids are in the mask after "a" of a(b)?, not before; after "ab" nothing can follow."""
    matcher = COMPILER.matcher("regex", "ab?")
    assert not set(ENDS) & set(allowed(matcher))
    matcher.advance(TOKENIZER.token_to_id("a"))
    assert not matcher.is_finished
    assert set(allowed(matcher)) == {*ENDS, TOKENIZER.token_to_id("b")}
    matcher.advance(TOKENIZER.token_to_id("b"))
    assert matcher.is_finished


def test_an_answer_that_shall_not_end_ends_only_where_it_must():
    """avoid_end takes the end ids out of the mask while anything else is left in it."""
    matcher = COMPILER.matcher("regex", "ab?", avoid_end=True)
    matcher.advance(TOKENIZER.token_to_id("a"))
    assert allowed(matcher) == [TOKENIZER.token_to_id("b")]


def test_rows_without_a_token_are_never_allowed():
    """Ids that only pad the embedding, and special tokens, stay out of the widest grammar."""
    found = set(allowed(COMPILER.matcher("regex", "(?s:.*)")))
    assert max(found) < TOKENIZER.vocab_size
    assert found & TOKENIZER.special_ids == set(ENDS)


def test_a_vocabulary_smaller_than_the_tokenizer():
    """Tokens that the model has no row for are not allowed either."""
    matcher = GrammarCompiler(TOKENIZER, 300, ENDS).matcher("regex", "(?s:.+)")
    assert max(allowed(matcher)) < 300


def test_matchers_of_one_grammar_are_apart():
    """A grammar is compiled once; its matchers do not feel each other."""
    first, second = (COMPILER.matcher("regex", "[xy]z") for _ in range(2))
    first.advance(TOKENIZER.token_to_id("x"))
    assert allowed(first) == [TOKENIZER.token_to_id("z")]
    assert set(allowed(second)) == {TOKENIZER.token_to_id(c) for c in "xy"}


def test_kept_grammars_are_bounded():
    """Only the last KEPT_GRAMMARS grammars stay compiled."""
    compiler = GrammarCompiler(TOKENIZER, PADDED, ENDS)
    for count in range(1, KEPT_GRAMMARS + 20):
        compiler.matcher("regex", f"a{{{count}}}")
    assert len(compiler._compiled) == KEPT_GRAMMARS


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("regex", "[ab"),
        ("regex", "(?=a)b"),
        ("grammar", "start: missing"),
        ("grammar", 'start: "unclosed'),
        ("json", "{"),
        ("json", "[1]"),
        ("json", '{"type": "objekt"}'),
        ("json", '{"not": {"type": "integer"}}'),
        ("json", '{"a":' * 5000 + "1" + "}" * 5000),
        ("json", '{"type": "object", "properties": {"a": ' * 300 + "{}" + "}}" * 300),
        ("regex", "x" * 100 + "[" + "y" * 100_000),
    ],
)
def test_what_is_no_grammar_is_refused(kind, source):
    """InvalidRequestError names the field and what is wrong, and echoes a bounded part."""
    with pytest.raises(InvalidRequestError) as caught:
        COMPILER.matcher(kind, source)
    assert caught.value.field == "structured_outputs"
    assert len(str(caught.value)) < 1000


def test_without_the_package_the_answer_says_so(monkeypatch):
    """Where llguidance is not installed the error names it and the extra that brings it."""
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "llguidance":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InvalidRequestError, match=r"longreach\[serve\]"):
        GrammarCompiler(TOKENIZER, PADDED, ENDS).matcher("regex", "a")


def test_a_token_that_was_not_allowed_is_an_error():
    """A matcher that was fed something else does not claim to be finished, and says so."""
    matcher = COMPILER.matcher("regex", "ab")
    matcher.advance(TOKENIZER.token_to_id("b"))
    assert not matcher.is_finished
    with pytest.raises(LongreachError, match="grammar"):
        matcher.bitmask()


def test_a_grammar_that_cannot_begin_is_refused():
    """A schema which fails only at its first mask is an invalid schema like any other."""
    with pytest.raises(InvalidRequestError, match="a valid JSON schema"):
        COMPILER.matcher("json", '{"$ref": "#"}')


def test_the_first_mask_is_there_before_it_is_asked_for():
    """Whoever waits for the first token waits for no mask."""
    matcher = COMPILER.matcher("choice", '["yes"]')
    matcher._core = None
    assert allowed(matcher)
