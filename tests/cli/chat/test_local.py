"""A model in this process, as the chat sees it."""

import pytest

from longreach.cli.chat.backend import Piece, Usage
from longreach.cli.chat.local import LocalBackend
from longreach.errors import ContextLengthError

STORY = "The sky is blue. The pass key is 28884. Remember it. 28884 is the pass key. " * 40


@pytest.fixture(scope="module")
def backend():
    from longreach.engine.llm import LLM

    with LLM("needle", max_model_len=4096) as llm:
        yield LocalBackend(llm)


def ask(backend, content, **settings):
    messages = [{"role": "user", "content": content}]
    seen = []
    *pieces, usage = backend.answer(messages, settings, lambda *counts: seen.append(counts))
    assert all(isinstance(piece, Piece) for piece in pieces)
    assert isinstance(usage, Usage)
    return "".join(piece.text for piece in pieces), usage, seen


def test_answers_with_progress_and_usage(backend):
    """The second question about a text finds it in the cache."""
    text, usage, seen = ask(backend, f"{STORY}\n\nWhat is the pass key?", max_tokens=12)
    assert text == "The pass key is 28884."
    assert seen[-1][:2] == (usage.num_prompt_tokens, usage.num_prompt_tokens)
    assert not usage.is_cut
    _, again, _ = ask(backend, f"{STORY}\n\nIs it the pass key?", max_tokens=2)
    assert again.num_cached_tokens > usage.num_prompt_tokens // 2
    assert again.is_cut


def test_an_answer_takes_the_room_there_is(backend):
    """max_tokens beyond the context is as much as fits; a prompt beyond it is refused."""
    text, usage, _ = ask(backend, f"{STORY}\n\nWhat is the pass key?", max_tokens=1_000_000)
    assert text == "The pass key is 28884."
    assert usage.num_prompt_tokens < 4096
    with pytest.raises(ContextLengthError):
        ask(backend, STORY * 10, max_tokens=2)


def test_the_checkpoint_says_how_to_draw(backend):
    """Without settings the answer is drawn as generation_config.json has it: greedily, here."""
    first, second = (ask(backend, f"{STORY}\n\nWhy?", max_tokens=8)[0] for _ in range(2))
    assert first == second
