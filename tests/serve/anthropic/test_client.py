"""Anthropic's official client against a server on a real socket."""

import anthropic
import pytest

from support.fake_async_engine import FakeAsyncEngine
from support.serving import live_server

HI = [{"role": "user", "content": "hi"}]
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
WEATHER = {
    "name": "weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def script(request, index):
    """A call where it is asked for and not yet answered, else a sentence."""
    text = FakeAsyncEngine().tokenizer.decode(request.prompt_token_ids)
    return CALL if "call it" in text and "sunny" not in text else "The pass key is 28884."


@pytest.fixture(scope="module")
def url():
    with live_server(FakeAsyncEngine(script), api_keys=("secret",)) as url:
        yield url


@pytest.fixture
def client(url):
    with anthropic.Anthropic(base_url=url, api_key="secret", max_retries=0) as client:
        yield client


def test_create(client):
    """A message with its text, its reason and its usage."""
    message = client.messages.create(model="needle", max_tokens=200, messages=HI)
    assert message.content[0].text == "The pass key is 28884."
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens + message.usage.cache_creation_input_tokens > 0


def test_stream(client):
    """The helper puts the events together to the message that create gives."""
    with client.messages.stream(model="needle", max_tokens=200, messages=HI) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == "The pass key is 28884."
    whole = client.messages.create(model="needle", max_tokens=200, messages=HI)
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.stop_reason == whole.stop_reason


def test_a_round_with_a_tool(client):
    """The call, streamed or not, its result sent back, and the answer."""
    asked = [{"role": "user", "content": "call it"}]
    settings = {"model": "needle", "max_tokens": 200, "tools": [WEATHER]}
    message = client.messages.create(messages=asked, **settings)
    [use] = message.content
    assert (use.name, use.input, message.stop_reason) == ("weather", {"city": "Köln"}, "tool_use")
    with client.messages.stream(messages=asked, **settings) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].input == {"city": "Köln"}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    history = [
        *asked,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(messages=history, **settings)
    assert answer.content[0].text == "The pass key is 28884."


def test_count_tokens(client):
    """messages.count_tokens."""
    assert client.messages.count_tokens(model="needle", messages=HI).input_tokens > 1


def test_errors_have_their_classes(client, url):
    """The client raises what it raises for Anthropic's own errors."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="needle", max_tokens=200, messages=HI, extra_body={"top_p": 3})
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="claude", max_tokens=200, messages=HI)
    wrong = anthropic.Anthropic(base_url=url, api_key="wrong", max_retries=0)
    with wrong, pytest.raises(anthropic.AuthenticationError):
        wrong.messages.create(model="needle", max_tokens=200, messages=HI)
