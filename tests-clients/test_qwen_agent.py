"""Qwen-Agent's chat model against `longreach serve`."""

import pytest
from qwen_agent.llm import get_chat_model

FUNCTION = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
        "required": ["city"],
    },
}


@pytest.fixture
def llm(base_url, api_key):
    return get_chat_model({"model": "needle", "model_server": base_url, "api_key": api_key})


def ask(llm, content, **options):
    return llm.chat(messages=[{"role": "user", "content": content}], **options)


def test_a_question_is_answered(llm, document):
    """Whole."""
    (answer,) = ask(llm, document, stream=False)
    assert "28884" in answer["content"]


def test_an_answer_streams(llm, document):
    """Each piece brings the text so far."""
    pieces = list(ask(llm, document, stream=True))
    assert len(pieces) > 2
    assert "28884" in pieces[-1][-1]["content"]


def test_a_tool_is_called(base_url, api_key):
    """One that has to be, through the server's own format."""
    native = {"use_raw_api": True, "tool_choice": "required", "parallel_tool_calls": False}
    settings = {"model": "needle", "model_server": base_url, "api_key": api_key}
    llm = get_chat_model({**settings, "generate_cfg": native})
    *_, last = ask(llm, "hi", functions=[FUNCTION], stream=True)
    assert last[-1]["function_call"]["name"] == "get_weather"
