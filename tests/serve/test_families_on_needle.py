"""The other families of routes over the small model: what is cached is found again by each."""

import json

import anthropic
import httpx2
import openai
import pytest

from longreach.cli.defaults import sampling_defaults
from longreach.models.registry import resolve_model
from support.serving import live_server

pytestmark = pytest.mark.slow

GRASS = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
TEXT = GRASS * 20 + "The pass key is 28884. Remember it. 28884 is the pass key. " + GRASS * 20
QUESTION = "What is the pass key?"


@pytest.fixture(scope="module")
def url():
    from longreach.engine.async_engine import AsyncEngine
    from longreach.engine.llm import LLM

    engine = AsyncEngine.from_llm(LLM("needle", max_model_len=8192, num_kv_tokens=32768))
    with live_server(engine, sampling_defaults=sampling_defaults(resolve_model("needle"))) as url:
        yield url


def test_a_continued_response_is_read_from_the_cache(url):
    """previous_response_id makes a prompt whose beginning is cached, the answer included."""
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        first = client.responses.create(model="needle", input=f"{TEXT}\n\n{QUESTION}")
        assert "28884" in first.output_text
        assert first.usage.input_tokens_details.cache_write_tokens > 512
        second = client.responses.create(
            model="needle", input=QUESTION, previous_response_id=first.id
        )
    read = first.usage.input_tokens + first.usage.output_tokens
    assert read - 256 < second.usage.input_tokens_details.cached_tokens < read


def test_a_random_form_is_kept(url):
    """A schema in text.format holds whatever the model would rather say."""
    schema = {
        "type": "object",
        "properties": {"key": {"type": "integer", "minimum": 0, "maximum": 99_999}},
        "required": ["key"],
        "additionalProperties": False,
    }
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        response = client.responses.create(
            model="needle",
            input=QUESTION,
            text={"format": {"type": "json_schema", "name": "key", "schema": schema}},
        )
    assert isinstance(json.loads(response.output_text)["key"], int)


def test_messages_tell_what_the_cache_gave(url):
    """The second time, nearly all of the prompt is cache_read_input_tokens."""
    turns = [{"role": "user", "content": f"Read this again. {TEXT}\n\n{QUESTION}"}]
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        first, second = (
            client.messages.create(model="needle", max_tokens=64, messages=turns) for _ in range(2)
        )
    assert "28884" in first.content[0].text == second.content[0].text
    assert first.usage.cache_creation_input_tokens > 512
    assert second.usage.cache_read_input_tokens > 512
    assert second.usage.input_tokens < 256


def test_forced_calls_come_from_any_model(url):
    """tool_choice any: the small model, which knows no tools, makes a call of the right form."""
    tool = {
        "name": "look_up",
        "input_schema": {
            "type": "object",
            "properties": {"what": {"enum": ["key", "code"]}},
            "required": ["what"],
        },
    }
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        message = client.messages.create(
            model="needle",
            max_tokens=200,
            messages=[{"role": "user", "content": QUESTION}],
            tools=[tool],
            tool_choice={"type": "tool", "name": "look_up"},
        )
    assert message.stop_reason == "tool_use"
    assert message.content[0].input["what"] in {"key", "code"}


def test_ollama_streams_the_same_answer(url):
    """Lines of JSON whose texts together name the key, with durations of the engine."""
    body = {
        "model": "needle",
        "prompt": f"{TEXT}\n\n{QUESTION}",
        "options": {"num_predict": 32, "num_ctx": 8192},
    }
    answer = httpx2.post(url + "/api/generate", json=body, timeout=120)
    *pieces, last = map(json.loads, answer.text.splitlines())
    assert "28884" in "".join(piece["response"] for piece in pieces)
    assert last["done"]
    assert last["total_duration"] > last["eval_duration"] > 0
    assert last["prompt_eval_count"] > 512
