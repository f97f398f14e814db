"""LiteLLM against `longreach serve`."""

import litellm
import pytest

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
            "required": ["city"],
        },
    },
}


@pytest.fixture
def ask(base_url, api_key):
    def ask(content, **options):
        return litellm.completion(
            model="openai/needle",
            api_base=base_url,
            api_key=api_key,
            messages=[{"role": "user", "content": content}],
            max_retries=0,
            **options,
        )

    return ask


def test_a_question_is_answered(ask, document):
    """The answer, and what it took."""
    answer = ask(document)
    assert "28884" in answer.choices[0].message.content
    assert answer.usage.prompt_tokens > 500


def test_an_answer_streams(ask, document):
    """In pieces that make the same text."""
    pieces = [piece.choices[0].delta.content or "" for piece in ask(document, stream=True)]
    assert "28884" in "".join(pieces)


def test_a_tool_is_called(ask):
    """One that has to be."""
    answer = ask("hi", tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"


def test_a_prompt_that_is_too_long_has_its_own_error(ask, document):
    """So that agents can shorten it: ContextWindowExceededError, with both numbers."""
    with pytest.raises(litellm.ContextWindowExceededError, match="8192 tokens"):
        ask(document * 40)
