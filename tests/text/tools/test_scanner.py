"""Tool calls in text that comes in pieces."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longreach.text.tools import (
    ArgumentsDelta,
    CallEnded,
    CallStarted,
    Content,
    ToolCallScanner,
)
from support.tool_calls import calls_of, scan, summary

FIND = '<tool_call>\n{"name": "find", "arguments": {"q": "key"}}\n</tool_call>'


# Texts made of what the scanner decides on, so that near misses are common.
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "<tool_call>",
            "</tool_call>",
            "<tool",
            "_call>",
            '{"name": "f", "arguments": {',
            '{"arguments": {"a": [1, {}]}, "name": "g"}',
            '"name"',
            '"arguments": "{\\"a\\": 1}"',
            '"parameters"',
            *'{}[]":,\\<>\n x1',
            "\\u00e9",
            "\\ud83d",
            "é",
            "👋",
            "null",
            "```json",
            "```",
            FIND,
        ]
    ),
    max_size=16,
).map("".join)


@st.composite
def cut(draw, texts):
    """A text, and the same text in pieces."""
    text = draw(texts)
    places = draw(st.sets(st.integers(0, len(text)), max_size=12))
    edges = [0, *sorted(places), len(text)]
    return text, [text[a:b] for a, b in itertools.pairwise(edges)]


@given(cut(FRAGMENTS | st.text(max_size=40)))
@settings(max_examples=400)
@example(("<tool_call><tool_call>" + FIND, list("<tool_call><tool_call>" + FIND)))
@example((FIND[:-3], list(FIND[:-3])))
def test_any_cut_gives_the_same(case):
    """Calls and content do not depend on how the text comes in pieces."""
    text, pieces = case
    assert summary(pieces) == summary([text]) == summary(list(text))


@given(st.text(alphabet="<>tool_cal/{}\n ax", max_size=60) | FRAGMENTS)
def test_without_calls_the_content_is_the_text(text):
    """Where no call was found, every character comes out as content."""
    content, calls = summary([text])
    assert calls or content == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
NAMES = st.text(alphabet="abc_é", min_size=1, max_size=6)
PROSE = st.text(alphabet="ab<>{}\"'é \n", max_size=12).filter(
    lambda text: "<tool_call>" not in text
)


def write_call(name, arguments, style, indent, ascii_only):
    """One call in one of the ways models write them."""

    def dump(value):
        return json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    form = {
        "plain": {"name": name, "arguments": arguments},
        "arguments first": {"arguments": arguments, "name": name},
        "parameters": {"name": name, "parameters": arguments},
        "quoted": {"name": name, "arguments": dump(arguments)},
        "more keys": {"id": [1, "}"], "name": name, "arguments": arguments, "then": None},
    }
    return dump(form.get(style, form["plain"]))


@given(
    st.lists(
        st.tuples(
            PROSE,
            NAMES,
            OBJECTS,
            st.sampled_from(
                ["plain", "arguments first", "parameters", "quoted", "more keys", "fence", "bare"]
            ),
            st.sampled_from([None, 2]),
            st.booleans(),
        ),
        min_size=1,
        max_size=3,
    ),
    PROSE,
    st.integers(1, 7),
)
@settings(max_examples=200)
def test_well_formed_calls_come_out_whole(given_calls, after, step):
    """Names and arguments are those written, as JSON; content is the rest, trimmed at its ends."""
    text = ""
    for prose, name, arguments, style, indent, ascii_only in given_calls:
        body = write_call(name, arguments, style, indent, ascii_only)
        body = f"```json\n{body}\n```" if style == "fence" else body
        space = "" if style == "bare" else "\n"
        text += f"{prose}<tool_call>{space}{body}{space}</tool_call>"
    text += after
    content, calls = summary([text[i : i + step] for i in range(0, len(text), step)])
    assert [name for name, _, _ in calls] == [name for _, name, *_ in given_calls]
    assert all(is_complete for _, _, is_complete in calls)
    for (_, arguments, _), (_, _, expected, *_) in zip(calls, given_calls, strict=True):
        assert json.loads(arguments) == expected
    first, *others = [prose for prose, *_ in given_calls]
    rest = "".join([*others, after]).rstrip()
    assert content == ((first + rest).rstrip() if first.strip() else rest.lstrip())


def test_plain_calls_pass_arguments_as_written():
    """Arguments are the model's own characters: spaces, escapes and the order of keys stay."""
    arguments = '{ "b" :1.50,\n"a": "\\u00e9é\\"</tool_call>", "c":{"d":[ ]} }'
    text = f'<tool_call>\n{{"name": "f", "arguments": {arguments}}}\n</tool_call>'
    assert calls_of(text) == ("", [("f", arguments)])


def test_arguments_stream_while_they_are_written():
    """Name and arguments are out before the call is complete."""
    scanner = ToolCallScanner()
    assert scanner.feed('<tool_call>\n{"name": "find", "argu') == []
    started = scanner.feed('ments": {"q": "ke')
    assert started == [CallStarted(0, "find"), ArgumentsDelta(0, '{"q": "ke')]
    assert scanner.feed('y"}') == [ArgumentsDelta(0, 'y"}')]
    assert scanner.feed("}\n</tool_call>") == [CallEnded(0, is_complete=True)]
    assert scanner.finish() == []


def test_holds_back_what_may_become_a_call():
    """The begin of a tag, and whitespace before it, wait until they are decided."""
    scanner = ToolCallScanner()
    assert scanner.feed("Look: \n<tool") == [Content("Look:")]
    assert scanner.feed("box>") == [Content(" \n<toolbox>")]
    assert scanner.feed("\n\n<tool_call>{") == []
    assert scanner.finish() == [Content("\n\n<tool_call>{")]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (f"\n{FIND}\n{FIND}\n", "", 2),
        (f"Now:\n{FIND}\n", "Now:", 1),
        (f"\n {FIND}\n Done. ", "Done.", 1),
        (f"A\n{FIND}\nB", "A\n\nB", 1),
        ("  Hi \n", "  Hi \n", 0),
        (" \n", " \n", 0),
    ],
)
def test_whitespace_around_calls_is_no_content(text, content, calls):
    """Space at the edges of the content goes once there is a call; between words it stays."""
    found, got = summary([text])
    assert (found, len(got)) == (content, calls)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>",
        "<tool_call></tool_call>",
        "<tool_call>\nno object\n</tool_call>",
        "<tool_call>{}</tool_call>",
        '<tool_call>{"name": 3, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "\\ud800", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "f", "arguments": "[1]"}</tool_call>',
        '<tool_call>{"name": "f", "arguments": "{"}</tool_call>',
        '<tool_call>{"name": "f", "arguments": {no: 1}}</tool_call>',
        '<tool_call>{"name": "f", "x": }</tool_call>',
        '<tool_call>{"name" "f"}</tool_call>',
        '<tool_call>{"name": "f",}</tool_call>',
        '<tool_call>{"name": "f"',
        '<tool_call>{"arguments": {"a": 1}}</tool_call>',
        '<tool_call>{"arguments": {"a": ',
        '<tool_call>{"bad escape \\x": 1, "name": "f"}</tool_call>',
    ],
)
def test_what_is_no_call_is_content(text):
    """Text in a tag that cannot be a call comes out as it was, tags included."""
    assert summary([f"a {text} b"]) == (f"a {text} b", [])


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (FIND.removesuffix("</tool_call>"), "", [("find", '{"q": "key"}')]),
        (FIND.removesuffix("\n</tool_call>") + " Wait.", "Wait.", [("find", '{"q": "key"}')]),
        (FIND.replace("}}", "}"), "", [("find", '{"q": "key"}')]),
        (FIND.replace("}}", "}}}"), "", [("find", '{"q": "key"}')]),
        (FIND.replace('"}}', '"'), "", [("find", '{"q": "key"\n')]),
        (FIND[: FIND.index("ey")], "", [("find", '{"q": "k')]),
        ('<tool_call>{"name": "f"}</tool_call>', "", [("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": null}</tool_call>', "", [("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": ""}</tool_call>', "", [("f", "{}")]),
        ('<tool_call>{"name": "f"}\n{"name": "g"}</tool_call>', "", [("f", "{}"), ("g", "{}")]),
        (
            '<tool_call>{"name": "f"}\n{"nom": 1}</tool_call>',
            '{"nom": 1}</tool_call>',
            [("f", "{}")],
        ),
        ('<tool_call>{"name": "f"} {"name": "f"', '{"name": "f"', [("f", "{}")]),
        (f"<tool_call>{FIND}", "<tool_call>", [("find", '{"q": "key"}')]),
        (
            '<tool_call>{"name": "f", "parameters": {}, "arguments": {"a": 1}}</tool_call>',
            "",
            [("f", "{}")],
        ),
    ],
)
def test_forgives_what_models_do(text, content, calls):
    """Calls with slips that leave no doubt are calls, and what belongs to none is content."""
    assert calls_of(text) == (content, calls)


def test_says_whether_a_call_was_cut_off():
    """A call whose arguments never close ends with is_complete False."""
    assert scan([FIND[:50]])[-1] == CallEnded(0, is_complete=False)
    assert scan([FIND[:-14]])[-1] == CallEnded(0, is_complete=True)


def test_nested_openings_take_linear_time():
    """A tag in a tag is looked at again, but not again and again."""
    text = '<tool_call>{"a": ["' * 3000
    scanner = ToolCallScanner()
    for piece in (text[i : i + 4] for i in range(0, len(text), 4)):
        scanner.feed(piece)
        assert len(scanner._cursor._text) < 100
    assert scanner.num_calls == 0


OBJECT = FIND.removeprefix("<tool_call>").removesuffix("\n</tool_call>")


@pytest.mark.parametrize(
    "before", ["<tool_call>", "Look:<tool_call>", FIND[:-13], f"{FIND}<tool_call>"]
)
def test_the_begin_of_a_call_that_was_cut_off_is_no_content(before):
    """Wherever a call is cut off behind its tag, it is a call with what came, or nothing."""
    content, calls = calls_of(before.removesuffix("<tool_call>"))
    for end in range(len(OBJECT)):
        scanner = ToolCallScanner()
        events = [*scanner.feed(before + OBJECT[:end]), *scanner.finish(is_cut=True)]
        assert "".join(event.text for event in events if isinstance(event, Content)) == content
        assert scanner.num_calls == len(calls) + ('"arguments": {"' in OBJECT[:end])
