"""LlamaIndex's OpenAILike against `longreach serve`."""

from typing import Literal

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike


def get_weather(city: Literal["Oslo", "Rome"]) -> str:
    """The weather in a city."""
    return f"sun in {city}"


@pytest.fixture
def llm(base_url, api_key):
    return OpenAILike(
        api_base=base_url,
        api_key=api_key,
        model="needle",
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=8192,
        max_tokens=200,
        max_retries=0,
    )


def test_a_question_is_answered(llm, document):
    """As a chat and as a completion."""
    assert "28884" in llm.chat([ChatMessage(role="user", content=document)]).message.content
    assert "28884" in llm.complete(document).text


def test_an_answer_streams(llm, document):
    """Each piece brings the text so far."""
    pieces = list(llm.stream_chat([ChatMessage(role="user", content=document)]))
    assert len(pieces) > 2
    assert "28884" in pieces[-1].message.content


def test_a_tool_is_called(llm):
    """One that has to be, with arguments of its schema."""
    tools = [FunctionTool.from_defaults(get_weather)]
    answer = llm.chat_with_tools(
        tools, user_msg="hi", tool_required=True, allow_parallel_tool_calls=False
    )
    call = llm.get_tool_calls_from_response(answer)[0]
    assert call.tool_name == "get_weather"
    assert call.tool_kwargs["city"] in ("Oslo", "Rome")
