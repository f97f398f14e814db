"""The official client against the small model, over a real socket."""

import json
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from pydantic import BaseModel

from longreach.cli.defaults import sampling_defaults
from longreach.models.registry import resolve_model
from support.serving import serving

pytestmark = pytest.mark.slow

QUESTION = "The pass key is 28884. Remember it. 28884 is the pass key.\n\nWhat is the pass key?"
MESSAGES = [{"role": "user", "content": QUESTION}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}},
            "required": ["city"],
        },
    },
}


def load():
    from longreach.engine.async_engine import AsyncEngine
    from longreach.engine.llm import LLM

    return AsyncEngine.from_llm(LLM("needle", max_model_len=32768, num_kv_tokens=65536))


@pytest.fixture(scope="module")
def server():
    defaults = sampling_defaults(resolve_model("needle"))
    with serving(load, api_keys=("secret",), sampling_defaults=defaults) as serving_now:
        serving_now.wait_until_ready()
        yield serving_now


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0)


def test_a_question_is_answered(client):
    """The reply names the pass key, and says what it took."""
    answer = client.chat.completions.create(
        model="needle", messages=MESSAGES, extra_body={"cache_salt": "nobody asked before"}
    )
    assert "28884" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 20
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.longreach["density"] == 1.0


def test_a_stream_joins_to_the_same_answer(client):
    """Chunk by chunk, with the usage at the end."""
    whole = client.chat.completions.create(model="needle", messages=MESSAGES)
    chunks = list(
        client.chat.completions.create(
            model="needle",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"return_progress": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    progress = [c.prompt_progress for c in chunks if hasattr(c, "prompt_progress")]
    assert progress[0]["processed"] == progress[0]["cache"]
    assert progress[-1]["processed"] == progress[-1]["total"]


def test_the_stream_helper_accumulates(client):
    """The SDK's own accumulator understands every chunk."""
    with client.chat.completions.stream(model="needle", messages=MESSAGES) as stream:
        final = stream.get_final_completion()
    assert "28884" in final.choices[0].message.content


def test_a_forced_call_is_valid_even_from_this_model(client):
    """required gives a call whose arguments follow the schema; streaming too."""
    options = {
        "model": "needle",
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [WEATHER],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_tokens": 100,
    }
    answer = client.chat.completions.create(**options)
    [call] = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    chunks = list(client.chat.completions.create(**options, stream=True))
    calls = [c for ch in chunks if ch.choices for c in ch.choices[0].delta.tool_calls or []]
    assert calls[0].function.name == "weather"
    joined = "".join(call.function.arguments for call in calls)
    assert joined == call_arguments(answer)


def call_arguments(answer):
    return answer.choices[0].message.tool_calls[0].function.arguments


def test_a_conversation_with_a_tool_goes_on(client):
    """The message of a call can be sent back as it is, with the tool's answer."""
    first = client.chat.completions.create(
        model="needle",
        messages=MESSAGES,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    message = first.choices[0].message
    history = [
        *MESSAGES,
        message,
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Sunny."},
    ]
    second = client.chat.completions.create(
        model="needle", messages=history, tools=[WEATHER], max_tokens=5
    )
    assert second.choices[0].finish_reason in ("stop", "length", "tool_calls")


class Key(BaseModel):
    digit: bool


def test_the_parse_helper_gets_its_model(client):
    """A strict JSON schema holds, whatever the model would rather say."""
    answer = client.chat.completions.parse(
        model="needle", messages=MESSAGES, response_format=Key, max_tokens=200
    )
    assert isinstance(answer.choices[0].message.parsed, Key)


def test_completions_and_models(client):
    """The legacy route and the list."""
    answer = client.completions.create(
        model="needle", prompt="The grass is", max_tokens=2, logprobs=1, echo=True
    )
    assert answer.choices[0].text.startswith("The grass is")
    assert answer.choices[0].logprobs.token_logprobs[0] is None
    assert [model.id for model in client.models.list()] == ["needle"]
    assert client.models.retrieve("needle").id == "needle"


def test_errors_are_the_sdks_own(client, server):
    """Each status becomes its exception, with code and param."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="needle", messages=MESSAGES, max_tokens=100_000)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="needle", messages=MESSAGES, top_p=2)
    assert caught.value.param == "top_p"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-9", messages=MESSAGES)
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_second_question_finds_the_text_cached(client):
    """cached_tokens counts the shared beginning."""
    text = "The grass is green. The sky is blue. " * 60
    asked = [{"role": "user", "content": f"{text}\n\n{word}?"} for word in ("One", "Two")]
    first, second = (
        client.chat.completions.create(
            model="needle", messages=[message], max_tokens=1, extra_body={"cache_salt": "grass"}
        )
        for message in asked
    )
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens_details.cached_tokens >= 128


def test_many_at_once_answer_as_alone(client):
    """Eight streams side by side give what one gives."""

    def ask(_):
        chunks = client.chat.completions.create(model="needle", messages=MESSAGES, stream=True)
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_a_form_beside_tools_holds(client):
    """The answer is JSON of the schema, or a call: nothing else."""
    answer = client.chat.completions.create(
        model="needle",
        messages=MESSAGES,
        tools=[WEATHER],
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "x",
                "schema": {"type": "object", "properties": {"a": {"type": "boolean"}}},
            },
        },
        max_tokens=100,
    )
    message = answer.choices[0].message
    assert message.tool_calls or isinstance(json.loads(message.content), dict)
