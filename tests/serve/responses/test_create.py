"""Responses as one answer."""

import pytest

from longreach.errors import ContextLengthError
from support.fake_async_engine import FakeAsyncEngine, qwen_template, thinking_template

URL = "/v1/responses"
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
CALL_ITEM = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def ask(client, **body):
    answer = client.post(URL, json={"input": "hi", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client, **body):
    answer = client.post(URL, json={"input": "hi", **body})
    return answer.status_code, answer.json()["error"]


def prompt_of(engine, client, **body):
    """The text that the engine was given."""
    ask(client, **body)
    ids = engine.requests[-1].prompt_token_ids
    return engine.tokenizer.decode(ids, skip_special_tokens=False)


def test_a_response_repeats_what_was_asked_and_says_what_came(client):
    """All fields of the object are there, with one message of one text."""
    answer = ask(client, temperature=0.5, top_p=0.9, max_output_tokens=50, metadata={"a": "b"})
    assert answer["id"].startswith("resp_")
    assert answer["object"] == "response"
    assert answer["status"] == "completed"
    assert answer["error"] is None
    assert answer["incomplete_details"] is None
    assert answer["model"] == "needle"
    assert answer["metadata"] == {"a": "b"}
    assert (answer["temperature"], answer["top_p"]) == (0.5, 0.9)
    assert answer["max_output_tokens"] == 50
    assert answer["truncation"] == "disabled"
    assert answer["tool_choice"] == "auto"
    assert answer["text"]["format"] == {"type": "text"}
    [message] = answer["output"]
    assert message["id"].startswith("msg_")
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert message["status"] == "completed"
    [part] = message["content"]
    assert part["type"] == "output_text"
    assert part["text"] == "The pass key is 28884."
    assert part["annotations"] == []


def test_usage_counts_what_was_cached(make_client):
    """Tokens read, cached, newly cached and written; and our own figures."""
    answer = ask(make_client(FakeAsyncEngine(num_cached=10)), max_output_tokens=4)
    usage = answer["usage"]
    assert usage["input_tokens_details"] == {"cached_tokens": 10, "cache_write_tokens": 128}
    assert usage["output_tokens"] == 4
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}
    assert usage["total_tokens"] == usage["input_tokens"] + 4
    assert answer["timings"]["cache_n"] == 10
    assert answer["longreach"]["recall_mean"] == 0.97


def test_a_cut_response_is_incomplete(client):
    """max_output_tokens ends it, and the status, the reason and the item say so."""
    answer = ask(client, max_output_tokens=2)
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    assert answer["output"][0]["status"] == "incomplete"


def test_an_answer_of_nothing_is_an_empty_message(make_client):
    """There is always an output."""
    answer = ask(make_client(FakeAsyncEngine("")))
    assert answer["output"][0]["content"][0]["text"] == ""


def test_instructions_and_all_kinds_of_contents_reach_the_prompt(engine, client):
    """instructions is the system turn; texts and parts of texts are turns."""
    prompt = prompt_of(
        engine,
        client,
        instructions="Be brief.",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "two", "annotations": []}],
            },
            {"role": "developer", "content": "three"},
            {"role": "user", "content": "four"},
        ],
    )
    places = [prompt.index(text) for text in ("Be brief.", "one", "two", "three", "four")]
    assert places == sorted(places)
    assert prompt.count("<|im_start|>assistant") == 2


def test_tool_calls_are_items(make_client):
    """A call has its own item, after the text before it; its arguments are the model's."""
    answer = ask(make_client(FakeAsyncEngine("I look.\n" + CALL + "\n" + CALL)), tools=[WEATHER])
    message, first, second = answer["output"]
    assert message["content"][0]["text"].strip() == "I look."
    assert first["type"] == second["type"] == "function_call"
    assert first["name"] == "weather"
    assert first["arguments"] == '{"city": "Köln"}'
    assert first["id"].startswith("fc_")
    assert first["call_id"].startswith("call_")
    assert first["call_id"] != second["call_id"]
    assert answer["tools"][0]["name"] == "weather"


def test_calls_and_their_outputs_are_one_history(make_client):
    """A call and its output given as items reach the prompt as the template writes them."""
    engine = FakeAsyncEngine(chat_template=qwen_template())
    output = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    items = [{"role": "user", "content": "Köln?"}, CALL_ITEM, output]
    prompt = prompt_of(engine, make_client(engine), input=items, tools=[WEATHER])
    assert '<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>' in prompt
    assert "<tool_response>\nsunny\n</tool_response>" in prompt


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
def test_forced_calls_have_a_grammar(engine, client, choice):
    """required and a named function reach the engine as a form."""
    ask(client, tools=[WEATHER], tool_choice=choice)
    assert engine.requests[-1].params.structured_outputs.grammar


def test_formats_reach_the_engine(engine, client):
    """text.format json_schema and json_object are forms; both are echoed."""
    given = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    answer = ask(client, text={"format": given})
    assert answer["text"]["format"] == given
    assert engine.requests[-1].params.structured_outputs.json == SCHEMA
    ask(client, text={"format": {"type": "json_object"}})
    assert engine.requests[-1].params.structured_outputs.json_object


def test_logprobs_are_told_when_included(client):
    """Each token of the text, with the best in its place; none otherwise."""
    answer = ask(client, include=["message.output_text.logprobs"], top_logprobs=2)
    logprobs = answer["output"][0]["content"][0]["logprobs"]
    assert "".join(entry["token"] for entry in logprobs).startswith("The pass key")
    assert len(logprobs[0]["top_logprobs"]) == 2
    assert ask(client)["output"][0]["content"][0]["logprobs"] == []


def test_reasoning_is_an_item(make_client):
    """Text between think tags is a reasoning item, before the message."""
    engine = FakeAsyncEngine("hm\n</think>\n\nYes.", chat_template=thinking_template())
    answer = ask(make_client(engine))
    reasoning, message = answer["output"]
    assert reasoning["type"] == "reasoning"
    assert reasoning["summary"] == []
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert message["content"][0]["text"] == "Yes."
    assert answer["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "image_generation_call", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": "x", "color": 1}]}, "input[0].color"),
        ({"input": [{"type": "function_call_output", "call_id": "z", "output": "x"}]}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{**WEATHER, "name": ""}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["file_search_call.results"]}, "include[0]"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"stream_options": {}}, "stream_options"),
        ({"background": True, "store": False}, "background"),
        ({"metadata": {"a": "b" * 513}}, "metadata.a"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"n": 2}, "n"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(client, body, param):
    """400 that names the field as this body calls it."""
    status, error = refused(client, **body)
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)


def test_images_are_not_supported(client):
    """501 for contents that are no text."""
    parts = [{"type": "input_image", "image_url": "data:"}]
    status, error = refused(client, input=[{"role": "user", "content": parts}])
    assert (status, error["type"]) == (501, "not_supported_error")
    assert error["param"] == "input[0].content[0]"


def test_an_unknown_item_is_told_what_there_is(client):
    """In words of the API, none of the code's."""
    status, error = refused(client, input=[{"type": "foo"}])
    assert (status, error["param"]) == (400, "input[0]")
    assert "function_call_output" in error["message"]
    assert "_kind" not in error["message"]


def test_too_long_a_prompt_names_the_input(make_client):
    """The code that agents look for, and the field of this body."""
    client = make_client(FakeAsyncEngine(fail=ContextLengthError(5000, 1, 4096)))
    status, error = refused(client)
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "input")


def test_a_failure_while_it_is_written_is_its_status(make_client):
    """Without a stream, a failure is an error answer."""
    client = make_client(FakeAsyncEngine(fail_after=(1, RuntimeError("secret"))))
    status, error = refused(client)
    assert (status, error["code"]) == (500, "internal_error")
    assert "secret" not in error["message"]


def test_tokens_of_a_body_are_counted_as_they_are_read(engine, client):
    """input_tokens counts the prompt that the same body makes."""
    body = {"input": "hello there", "instructions": "Be brief.", "tools": [WEATHER]}
    ask(client, **body)
    counted = client.post(URL + "/input_tokens", json=body).json()
    number = len(engine.requests[-1].prompt_token_ids)
    assert counted == {"object": "response.input_tokens", "input_tokens": number}


def test_compact_is_not_supported(client):
    """501 in OpenAI's shape."""
    answer = client.post(URL + "/compact", json={"model": "needle", "input": "hi"})
    assert answer.status_code == 501
    assert answer.json()["error"]["type"] == "not_supported_error"
