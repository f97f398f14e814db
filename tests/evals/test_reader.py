from types import SimpleNamespace

import pytest

from longreach.engine.protocol import TextEngine
from longreach.errors import ContextLengthError
from longreach.evals.reader import Reader
from support.fake_engine import FakeEngine, encode_chat, fake_reader

MESSAGES = [{"role": "user", "content": "The pass key is 123. Remember.\n\nWhat is the pass key?"}]


def test_the_fake_engine_is_a_text_engine():
    """What these tests run on has the methods of the real thing."""
    assert isinstance(FakeEngine(), TextEngine)


def test_pieces_are_joined():
    """A streamed answer arrives whole, with the last metrics."""
    reply = fake_reader().ask(MESSAGES, max_tokens=8)
    assert reply.text == "The pass key is 123."
    assert reply.num_prompt_tokens == reply.metrics.num_prompt_tokens > 0


def test_an_error_of_the_request_is_raised():
    """A request that ended with an error raises it, typed."""
    error = ContextLengthError(10, 5, 12)
    ended = SimpleNamespace(outputs=[], error=error)
    engine = SimpleNamespace(generate_requests=lambda requests, progress: iter([ended]))
    with pytest.raises(ContextLengthError):
        Reader(engine=engine, encode=str.split, encode_chat=encode_chat).ask(MESSAGES, max_tokens=8)


def test_progress_reaches_the_caller():
    """The callback is handed to the engine as it is."""
    seen = []
    fake_reader().ask(MESSAGES, max_tokens=8, progress=lambda *numbers: seen.append(numbers))
    assert seen[-1][0] == seen[-1][1]
