import pytest
from typer.testing import CliRunner

from longreach.cli import engine as module
from longreach.cli.commands import app
from support.fake_engine import FakeEngine, Prompt, encode, encode_chat


class FakeTokenizer:
    def encode(self, text, *, allow_special=True):
        return encode(text)


class FakeLLM(FakeEngine):
    """What commands use of `LLM`, over the fake engine."""

    current_metrics = None
    tokenizer = FakeTokenizer()

    def encode_chat(self, messages):
        return encode_chat(messages)

    def generate_requests(self, requests, *, progress=None):
        requests = list(requests)
        for request in requests:
            if request.prompt is not None:
                object.__setattr__(request, "prompt_token_ids", Prompt(request.prompt))
        yield from super().generate_requests(requests, progress=progress)


@pytest.fixture
def fake_llm(monkeypatch):
    """Commands load this instead of a model; `.options` are what they asked for."""
    fake = FakeLLM()

    def load_llm(model, **options):
        fake.options = {"model": model, **options}
        return fake

    monkeypatch.setattr(module, "load_llm", load_llm)
    monkeypatch.setattr(module, "count_tokens", lambda model, text: len(encode(text)))
    return fake


@pytest.fixture
def run():
    """Run a command line; its result has exit_code, stdout, stderr."""

    def call(line):
        words = line if isinstance(line, list) else line.split()
        return CliRunner().invoke(app, words)

    return call
