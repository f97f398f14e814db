"""langchain-openai against `longreach serve`."""

from typing import Literal

import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def get_weather(city: Literal["Oslo", "Rome"]) -> str:
    """The weather in a city."""
    return f"sun in {city}"


@pytest.fixture
def chat(base_url, api_key):
    return ChatOpenAI(base_url=base_url, api_key=api_key, model="needle", max_retries=0)


def test_a_question_is_answered(chat, document):
    """The answer, and what it took."""
    answer = chat.invoke(document)
    assert "28884" in answer.content
    assert answer.usage_metadata["input_tokens"] > 500


def test_an_answer_streams(chat, document):
    """In pieces that make the same text."""
    pieces = [piece.content for piece in chat.stream(document)]
    assert len(pieces) > 2
    assert "28884" in "".join(pieces)


def test_a_tool_is_called(chat):
    """One that has to be: its name, arguments of its schema, an id."""
    answer = chat.bind_tools([get_weather], tool_choice="get_weather").invoke("hi")
    (call,) = answer.tool_calls
    assert call["name"] == "get_weather"
    assert call["args"]["city"] in ("Oslo", "Rome")
    assert call["id"].startswith("call_")
