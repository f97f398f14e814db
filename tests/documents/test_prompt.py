"""Documents first, question last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.documents import document_part, prompt_messages
from longreach.documents.prompt import SYSTEM_PROMPT
from longreach.errors import InvalidRequestError
from longreach.evals.needle import tasks as needle
from support.documents import document

BOOK = document("first", "second")
QUESTION = "What is the pass key?"


def test_one_question():
    """The small model's own form: a system prompt, then the text, a blank line, the question."""
    assert SYSTEM_PROMPT.startswith(needle.SYSTEM_PROMPT)
    assert prompt_messages([BOOK], QUESTION) == [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": f"{BOOK.text}\n\n{QUESTION}"},
    ]


@given(st.text(), st.text())
def test_the_document_part_never_depends_on_the_question(one, other):
    """All that stands before the question is the same, so it is read once."""
    part = document_part([BOOK, BOOK])
    for question in (one, other):
        content = prompt_messages([BOOK, BOOK], question)[-1]["content"]
        assert content == f"{part}\n\n{question}"


def test_history():
    """Earlier turns stay as they were sent: the new question only adds to the end."""
    first = prompt_messages([BOOK], QUESTION)
    answer = {"role": "assistant", "content": "12345"}
    history = [{"role": "user", "content": QUESTION}, answer]
    second = prompt_messages([BOOK], "And now?", history=history)
    assert second == [*first, answer, {"role": "user", "content": "And now?"}]
    assert history == [{"role": "user", "content": QUESTION}, answer]


def test_system_prompt():
    """Another one, or none."""
    assert prompt_messages([BOOK], QUESTION, system="Be brief.")[0]["content"] == "Be brief."
    assert [m["role"] for m in prompt_messages([BOOK], QUESTION, system="")] == ["user"]


def test_a_history_that_cannot_be():
    """It begins with a question as text; otherwise the documents would have no place."""
    with pytest.raises(InvalidRequestError, match=r"history is .*begin with a question"):
        prompt_messages([BOOK], QUESTION, history=[{"role": "assistant", "content": "x"}])
