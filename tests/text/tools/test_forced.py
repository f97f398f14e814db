"""Grammars that force tool calls, walked at random: what comes out is what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import numpy as np
import pytest

import longreach
from longreach.errors import InvalidRequestError
from longreach.text import Tokenizer
from longreach.text.grammar import GrammarCompiler
from longreach.text.reasoning import AnswerText, ReasoningSplitter, ReasoningText
from longreach.text.tools.forced import forced_calls_grammar
from support.text import make_core
from support.tool_calls import calls_of

SCHEMAS = {
    "find": {
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": 20},
            "how": {"enum": ["größer", None, 1.5]},
            "where": {"type": "array", "items": {"$ref": "#/$defs/place"}, "maxItems": 3},
        },
        "required": ["text", "where"],
        "$defs": {
            "place": {
                "type": "object",
                "properties": {"page": {"type": "integer", "minimum": 1, "maximum": 99}},
                "required": ["page"],
                "additionalProperties": False,
            }
        },
    },
    "stop_now": None,
    'odd "näme"\x7f': {"anyOf": [{"properties": {"a": {"type": "boolean"}}, "required": ["a"]}]},
}
SCHEMAS['odd "näme"\x7f']["anyOf"][0]["additionalProperties"] = False
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in SCHEMAS.items()
]
SEEDS = range(12)


@pytest.fixture(scope="module", params=["bundled", "tags are tokens"])
def tokenizer(request):
    if request.param == "bundled":
        return Tokenizer.from_directory(Path(longreach.__file__).parent / "assets" / "needle")
    core = make_core()
    core.add_tokens(["<think>", "</think>"])
    return Tokenizer(core, special_names={"eos_token": "<|im_end|>"})


@pytest.fixture(scope="module")
def compiler(tokenizer):
    return GrammarCompiler(tokenizer, tokenizer.vocab_size, [tokenizer.eos_token_id])


@pytest.fixture
def walk(tokenizer, compiler):
    """Draw allowed tokens until the end is drawn; the text, and its token ids."""
    ends = [tokenizer.eos_token_id, tokenizer.token_to_id("</think>")]

    def walk(grammar, seed):
        matcher = compiler.matcher("grammar", grammar)
        rng, ids = np.random.default_rng(seed), []
        while True:
            allowed = np.flatnonzero(
                np.unpackbits(matcher.bitmask().view(np.uint8), bitorder="little")
            )
            closing = [i for i in ends if i in allowed]
            token = int(rng.choice(closing if closing and rng.random() < 0.2 else allowed))
            if token == tokenizer.eos_token_id:
                return tokenizer.decode(ids), ids
            ids.append(token)
            assert len(ids) < 5000
            matcher.advance(token)

    return walk


def check(calls):
    for name, text in calls:
        schema = SCHEMAS[name]
        arguments = json.loads(text)
        assert isinstance(arguments, dict)
        assert arguments == {} if schema is None else jsonschema_rs.is_valid(schema, arguments)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_named_tool_is_called_once(tokenizer, walk, name):
    """Exactly one call, of the tool that was named, and nothing else."""
    grammar = forced_calls_grammar(TOOLS, tokenizer, name=name)
    for seed in SEEDS:
        text, _ = walk(grammar, seed)
        content, calls = calls_of(text)
        assert (content, [called for called, _ in calls]) == ("", [name])
        check(calls)


def test_some_tool_is_called(tokenizer, walk):
    """At least one call and nothing else; several come too, and every tool has its turn."""
    grammar = forced_calls_grammar(TOOLS, tokenizer)
    outputs = [calls_of(walk(grammar, seed)[0]) for seed in SEEDS]
    for content, calls in outputs:
        assert content == ""
        assert calls
        check(calls)
    assert any(len(calls) > 1 for _, calls in outputs)
    assert {name for _, calls in outputs for name, _ in calls} == SCHEMAS.keys()


def test_one_call_where_they_are_not_parallel(tokenizer, walk):
    """Exactly one call when parallel is False."""
    grammar = forced_calls_grammar(TOOLS, tokenizer, parallel=False)
    for seed in SEEDS:
        _, calls = calls_of(walk(grammar, seed)[0])
        assert len(calls) == 1
        check(calls)


def test_calls_are_written_as_templates_write_them(tokenizer, walk):
    """Outside of the values a forced call has the spaces and line breaks of the history."""
    grammar = forced_calls_grammar(TOOLS[:1], tokenizer, name="find")
    for seed in SEEDS:
        text, ids = walk(grammar, seed)
        _, [(_, arguments)] = calls_of(text)
        assert text == f'<tool_call>\n{{"name": "find", "arguments": {arguments}}}\n</tool_call>'
        assert '": ' in arguments
        if tag := tokenizer.token_to_id("<tool_call>"):
            assert ids[0] == tag


def test_calls_may_follow_reasoning(compiler, tokenizer):
    """With the prompt's <think> open, free text is allowed up to its end, then come calls alone."""
    grammar = forced_calls_grammar(TOOLS, tokenizer, name="stop_now", after_reasoning=True)
    matcher = compiler.matcher("grammar", grammar)
    call = '<tool_call>\n{"name": "stop_now", "arguments": {}}\n</tool_call>'
    output = f'Hm, {{"a": 1}} <b>\n</think>\n\n{call}'
    for token in [*tokenizer.encode(output), tokenizer.eos_token_id]:
        words = matcher.bitmask()
        assert words[token // 32] >> (token % 32) & 1, tokenizer.decode_token(token)
        matcher.advance(token)
    splitter = ReasoningSplitter(is_open=True)
    parts = [*splitter.feed(output), *splitter.finish()]
    thoughts = [part.text for part in parts if isinstance(part, ReasoningText)]
    answers = [part.text for part in parts if isinstance(part, AnswerText)]
    assert ("".join(thoughts), "".join(answers)) == ('Hm, {"a": 1} <b>', call)
    assert calls_of(call) == ("", [("stop_now", "{}")])


def test_a_reasoning_model_cannot_leave_without_a_call(tokenizer, compiler):
    """The end of the output is not allowed before the call is complete."""
    grammar = forced_calls_grammar(TOOLS, tokenizer, after_reasoning=True)
    matcher = compiler.matcher("grammar", grammar)
    end = tokenizer.eos_token_id
    for token in tokenizer.encode("Hm.</think>\n\n<tool_call>\n{"):
        assert not matcher.bitmask()[end // 32] >> (end % 32) & 1
        matcher.advance(token)


def tool(parameters, **function):
    return {"type": "function", "function": {"name": "f", "parameters": parameters, **function}}


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (tool({"type": "objekt"}), "tools[1].function.parameters"),
        (tool({"type": "array"}), "tools[1].function.parameters"),
        (tool({"properties": {"a": {"type": "objekt"}}}), "tools[1].function.parameters"),
        (tool({"properties": {"a": {"$ref": "#/$defs/none"}}}), "tools[1].function.parameters"),
        (tool({"properties": {"a": {"uniqueItems": True}}}), "tools[1].function.parameters"),
        (tool({"properties": {"a": {"const": float}}}), "tools[1].function.parameters"),
        (tool({"properties": {"\ud800": {}}}), "tools[1].function.parameters"),
        (tool("text"), "tools[1].function.parameters"),
        (tool({}, name=""), "tools[1].function.name"),
        (tool({}, name=None), "tools[1].function.name"),
        ({"type": "custom", "custom": {"name": "f"}}, "tools[1]"),
        ({"type": "function"}, "tools[1]"),
    ],
)
def test_tools_that_cannot_be_enforced(tokenizer, bad, field):
    """A tool of another kind, or a schema outside what can be enforced, is refused by its place."""
    with pytest.raises(InvalidRequestError) as caught:
        forced_calls_grammar([TOOLS[0], bad], tokenizer)
    assert caught.value.field == field
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(("tools", "name"), [(TOOLS, "none"), ([], None), ([], "find")])
def test_tools_that_are_not_there(tokenizer, tools, name):
    """A name that no tool has, or no tools at all, cannot be forced."""
    with pytest.raises(InvalidRequestError) as caught:
        forced_calls_grammar(tools, tokenizer, name=name)
    assert caught.value.field == "tool_choice"


def test_listed_properties_are_all_there_are(tokenizer):
    """A schema that only lists properties allows no others; one that speaks of them is obeyed."""
    listed = {"properties": {"a": {}}}
    grammar = forced_calls_grammar([tool(listed)], tokenizer)
    assert '"additionalProperties": false' in grammar
    spoken = forced_calls_grammar([tool(listed | {"additionalProperties": {}})], tokenizer)
    assert '"additionalProperties": {}' in spoken
