"""Qwen-Agent's assistant reads a PDF and asks `longreach serve` about it."""

import pytest
from qwen_agent.agents import Assistant


@pytest.fixture
def assistant(base_url, api_key, book, tmp_path, monkeypatch):
    """One that gives the whole file to the model, instead of pieces that its search picks."""
    monkeypatch.chdir(tmp_path)  # it keeps what it parsed in a folder `workspace`
    path, _ = book
    settings = {"model": "needle", "model_server": base_url, "api_key": api_key}
    return Assistant(
        llm={**settings, "generate_cfg": {"max_input_tokens": 1_000_000}},
        files=[str(path)],
        rag_cfg={"max_ref_token": 900_000, "rag_keygen_strategy": "none"},
    )


def test_an_assistant_answers_from_its_file(assistant, book):
    """Each fact of a book, asked one after the other."""
    _, facts = book
    assert len(facts) == 3
    for _, question, value in facts:
        *_, last = assistant.run([{"role": "user", "content": question}])
        assert value in last[-1]["content"], (question, last)


def test_a_message_brings_a_file(base_url, api_key, book, tmp_path, monkeypatch):
    """A file that comes with a question is read as well."""
    monkeypatch.chdir(tmp_path)
    path, [(_, question, value), *_] = book
    settings = {"model": "needle", "model_server": base_url, "api_key": api_key}
    assistant = Assistant(llm=settings, rag_cfg={"rag_keygen_strategy": "none"})
    content = [{"file": str(path)}, {"text": question}]
    *_, last = assistant.run([{"role": "user", "content": content}])
    assert value in last[-1]["content"]
