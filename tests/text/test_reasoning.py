"""Reasoning and answer told apart in text that comes in pieces."""

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from longreach.text.reasoning import (
    AnswerText,
    ReasoningSplitter,
    ReasoningText,
    opens_reasoning,
)

TEXTS = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<", "</", "think>", "\n", "\r\n", " ", "a", "é", "👋"]
    ),
    max_size=12,
).map("".join)


def split(pieces, *, is_open):
    splitter = ReasoningSplitter(is_open=is_open)
    parts = [part for piece in pieces for part in splitter.feed(piece)] + splitter.finish()
    assert all(part.text for part in parts)
    kinds = [kind for kind, _ in itertools.groupby(map(type, parts))]
    assert kinds in ([], [ReasoningText], [AnswerText], [ReasoningText, AnswerText])
    reasoning = "".join(part.text for part in parts if isinstance(part, ReasoningText))
    content = "".join(part.text for part in parts if isinstance(part, AnswerText))
    return reasoning or None, content or None


@given(TEXTS | st.text(max_size=30), st.sets(st.integers(0, 60), max_size=8), st.booleans())
@settings(max_examples=300)
def test_any_cut_gives_the_same(text, places, is_open):
    """Reasoning and answer do not depend on how the text comes in pieces."""
    edges = [0, *sorted(place for place in places if place < len(text)), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    whole = split([text], is_open=is_open)
    assert split(pieces, is_open=is_open) == whole == split(list(text), is_open=is_open)


@given(TEXTS, TEXTS)
def test_nothing_but_newlines_is_lost(thought, answer):
    """Both parts come back whole, but for newlines at the edges of the tags."""
    assume("</think>" not in thought + answer[:8])
    expected = thought.strip("\r\n") or None, answer.lstrip("\r\n") or None
    assert split([f"<think>{thought}</think>{answer}"], is_open=False) == expected


@pytest.mark.parametrize(
    ("text", "is_open", "expected"),
    [
        ("<think>\nHm.\n</think>\n\nYes.\n", False, ("Hm.", "Yes.\n")),
        ("\n <think>Hm.</think>Yes.", False, ("Hm.", "Yes.")),
        ("Hm.\n</think>\n\nYes.", True, ("Hm.", "Yes.")),
        ("<think>\nHm.\n</think>\n\nYes.", True, ("Hm.", "Yes.")),
        ("<think>\n\n</think>\n\nYes.", False, (None, "Yes.")),
        ("<think>\nHm, 1 < 2 </thin", False, ("Hm, 1 < 2 </thin", None)),
        ("Hm.\n\nBut", True, ("Hm.\n\nBut", None)),
        ("Yes. <think>no</think>", False, (None, "Yes. <think>no</think>")),
        ("  Yes.", False, (None, "  Yes.")),
        ("<think>a</think>b</think><think>c", False, ("a", "b</think><think>c")),
        ("<think>a</think>\n\n    code", False, ("a", "    code")),
        ("", False, (None, None)),
        ("", True, (None, None)),
    ],
)
def test_splits_as_qwen3_is_read(text, is_open, expected):
    """Tags and the newlines around them go; an open end is reasoning; tags later on are text."""
    assert split([text], is_open=is_open) == expected


def test_streams_what_is_certain():
    """Reasoning comes out while it is written, but for what may be its end."""
    splitter = ReasoningSplitter()
    assert splitter.feed("<think>\nHm") == [ReasoningText("Hm")]
    assert splitter.feed(".\n\n</th") == [ReasoningText(".")]
    assert splitter.feed("e") == [ReasoningText("\n\n<"), ReasoningText("/the")]
    assert splitter.feed("\n</think>\n") == []
    assert splitter.feed("\nYes") == [AnswerText("Yes")]


@pytest.mark.parametrize(
    ("prompt", "is_open"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n", False),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("a <think> b", False),
    ],
)
def test_sees_what_the_template_opened(prompt, is_open):
    """Only a prompt whose last words are the opening tag has opened it."""
    assert opens_reasoning(prompt) is is_open
