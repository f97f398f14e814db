"""One answer's text taken apart: the cut of the pieces changes nothing."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from longreach.serve.answers import AnswerReader
from longreach.serve.events import Reasoning
from longreach.text.tools import ArgumentsDelta, CallStarted, Content

TEXT = (
    "<think>\nFirst I <look>.\n</think>\n\nI see.\n"
    '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n'
    '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
)


def read(pieces, **options):
    """Reasoning, content and calls of an answer that comes in pieces."""
    reader = AnswerReader(**options)
    parts = [part for piece in pieces for part in reader.feed(piece, 1)]
    parts += reader.finish()
    reasoning = "".join(p.text for p in parts if isinstance(p, Reasoning))
    content = "".join(p.text for p in parts if isinstance(p, Content))
    calls = [[p.name, ""] for p in parts if isinstance(p, CallStarted)]
    for part in parts:
        if isinstance(part, ArgumentsDelta):
            calls[part.index][1] += part.text
    return reader, reasoning, content, calls


@given(st.lists(st.integers(0, len(TEXT)), max_size=20))
def test_any_cut_gives_the_same(cuts):
    """Reasoning, content and calls are those of the whole text."""
    edges = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[a:b] for a, b in itertools.pairwise(edges)]
    _, reasoning, content, calls = read(pieces, reasoning=True, tools=True)
    assert reasoning == "First I <look>."
    assert content == "I see."
    assert calls == [["f", '{"a": 1}'], ["g", "{}"]]


def test_reasoning_tokens_are_those_before_the_answer():
    """Tokens whose text is held back count as what they become."""
    reader, *_ = read(["<think>", "a", "b", "</think>", "\n\n", "c", "d"], reasoning=True)
    assert reader.reasoning_tokens == 5
    reader, *_ = read(["a", "b"], reasoning=True)
    assert reader.reasoning_tokens == 0
    reader, *_ = read(["a", "b"], reasoning=True, is_open=True)
    assert reader.reasoning_tokens == 2


def test_a_single_call_is_completed_by_its_stop():
    """The closing tag that ended the answer belongs to the call."""
    reader = AnswerReader(tools=True, single_call=True)
    parts = reader.feed('<tool_call>\n{"name": "f", "arguments": {}}\n', 9)
    parts += reader.finish("</tool_call>")
    assert reader.has_calls is True
    assert [type(part).__name__ for part in parts] == ["CallStarted", "ArgumentsDelta", "CallEnded"]
    assert parts[-1].is_complete
    assert reader.visible_stop("</tool_call>") is None
    assert reader.visible_stop("mine") == "mine"


def test_plain_text_passes_as_it_is():
    """Without tools and reasoning every tag is text."""
    _, reasoning, content, calls = read([TEXT])
    assert (reasoning, content, calls) == ("", TEXT, [])
