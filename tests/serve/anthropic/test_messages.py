"""Anthropic's messages: bodies, blocks, events and errors, byte by byte."""

import json

import pytest

from longreach.errors import ContextLengthError, EngineBusyError
from support.fake_async_engine import FakeAsyncEngine, qwen_template, thinking_template
from support.serving import Gate, live_server

URL = "/v1/messages"
HI = [{"role": "user", "content": "hi"}]
WEATHER = {
    "name": "weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}}


def ask(client, **body):
    answer = client.post(URL, json={"model": "needle", "max_tokens": 200, "messages": HI, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client, **body):
    answer = client.post(URL, json={"model": "needle", "max_tokens": 200, "messages": HI, **body})
    assert answer.json()["type"] == "error"
    return answer.status_code, answer.json()["error"]


def stream(client, **body):
    """The events of a stream, after checks of its bytes."""
    body = {"model": "needle", "max_tokens": 200, "messages": HI, "stream": True, **body}
    answer = client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *frames, rest = answer.content.split(b"\n\n")
    assert rest == b""
    events = []
    for frame in frames:
        name, data = frame.split(b"\n")
        events.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + events[-1]["type"].encode()
    return events


def text_of(engine):
    ids = engine.requests[-1].prompt_token_ids
    return engine.tokenizer.decode(ids, skip_special_tokens=False)


def test_a_message_has_blocks_and_usage(make_client):
    """The prompt's tokens are told in three parts that together are all of them."""
    engine = FakeAsyncEngine(num_cached=10)
    message = ask(make_client(engine))
    assert message["id"].startswith("msg_")
    assert (message["type"], message["role"], message["model"]) == (
        "message",
        "assistant",
        "needle",
    )
    assert message["content"] == [{"type": "text", "text": "The pass key is 28884."}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    usage = message["usage"]
    assert usage["cache_read_input_tokens"] == 10
    parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert sum(usage[part] for part in parts) == len(engine.requests[-1].prompt_token_ids)
    assert usage["output_tokens"] > 0


def test_why_it_ended(client):
    """max_tokens, a stop sequence and which one, or the end of the turn."""
    assert ask(client, max_tokens=2)["stop_reason"] == "max_tokens"
    stopped = ask(client, stop_sequences=["key"])
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "key")
    assert stopped["content"][0]["text"] == "The pass "


def test_all_kinds_of_turns_reach_the_prompt(make_client):
    """System, texts, a call and its result, errors marked, turns of one role as one."""
    engine = FakeAsyncEngine(chat_template=qwen_template())
    cached = {"cache_control": {"type": "ephemeral"}}
    ask(
        make_client(engine),
        system=[{"type": "text", "text": "Be brief.", **cached}],
        tools=[{**WEATHER, **cached}],
        messages=[
            {"role": "user", "content": "one"},
            {"role": "user", "content": [{"type": "text", "text": "two", **cached}]},
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, USE]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": [{"type": "text", "text": "no network"}],
                        "is_error": True,
                    },
                    {"type": "text", "text": "Go on."},
                ],
            },
        ],
    )
    prompt = text_of(engine)
    assert "<|im_start|>system\nBe brief." in prompt
    assert '{"type": "function", "function": {"name": "weather", "description"' in prompt
    assert "<|im_start|>user\none\ntwo<|im_end|>" in prompt
    assert "I look.\n" + CALL in prompt
    assert "<tool_response>\nError: no network\n</tool_response>" in prompt
    assert prompt.endswith("<|im_start|>user\nGo on.<|im_end|>\n<|im_start|>assistant\n")


def test_a_last_turn_of_the_assistant_is_continued(engine, client):
    """What it begins with stands at the end of the prompt, open."""
    ask(client, messages=[*HI, {"role": "assistant", "content": "The pass"}])
    assert text_of(engine).endswith("assistant\nThe pass")


def test_calls_are_blocks(make_client):
    """Text, then each call with its input as an object; the reason is tool_use."""
    message = ask(make_client(FakeAsyncEngine("I look.\n" + CALL)), tools=[WEATHER])
    text, use = message["content"]
    assert text["text"].strip() == "I look."
    assert use["id"].startswith("toolu_")
    assert {**use, "id": "toolu_1"} == USE
    assert message["stop_reason"] == "tool_use"


def test_a_call_that_was_cut_shows_what_there_is(make_client):
    """Its input is no object, so it stands under a key of its own; the reason is max_tokens."""
    message = ask(make_client(FakeAsyncEngine(CALL)), tools=[WEATHER], max_tokens=30)
    assert message["stop_reason"] == "max_tokens"
    [use] = message["content"]
    assert CALL.split('"arguments": ')[1].startswith(use["input"]["INVALID_JSON"])


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_forced_calls_have_a_grammar(engine, client, choice):
    """any and tool reach the engine as a form; none and auto do not."""
    ask(client, tools=[WEATHER], tool_choice=choice)
    assert engine.requests[-1].params.structured_outputs.grammar
    for free in ("auto", "none"):
        ask(client, tools=[WEATHER], tool_choice={"type": free})
        assert engine.requests[-1].params.structured_outputs is None


def test_parallel_calls_can_be_switched_off(make_client):
    """disable_parallel_tool_use gives the first call alone."""
    client = make_client(FakeAsyncEngine(CALL + "\n" + CALL))
    assert len(ask(client, tools=[WEATHER])["content"]) == 2
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    message = ask(client, tools=[WEATHER], tool_choice=choice)
    assert [block["type"] for block in message["content"]] == ["tool_use"]
    assert message["stop_sequence"] is None


def test_sampling_and_format_reach_the_engine(engine, client):
    """What is drawn how, and the schema of the text."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    ask(
        client,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    params = engine.requests[-1].params
    assert (params.temperature, params.top_p, params.top_k) == (0.5, 0.9, 5)
    assert params.max_tokens == 200
    assert params.structured_outputs.json == schema


def test_thinking_is_a_block_and_comes_back(make_client):
    """What the model thought is its own block, whole and streamed, and is accepted as history."""
    engine = FakeAsyncEngine("hm\n</think>\n\nYes.", chat_template=thinking_template())
    client = make_client(engine)
    message = ask(client, thinking={"type": "adaptive"})
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert message["content"][0]["thinking"] == "hm"
    deltas = [e["delta"] for e in stream(client) if e["type"] == "content_block_delta"]
    assert deltas[0]["type"] == "thinking_delta"
    history = {"role": "assistant", "content": message["content"]}
    ask(client, messages=[*HI, history, {"role": "user", "content": "And?"}])


def test_the_events_of_a_stream(make_client):
    """The official order, indices that count blocks, usage at both ends."""
    events = stream(
        make_client(FakeAsyncEngine("I look.\n" + CALL + CALL, num_cached=10)), tools=[WEATHER]
    )
    names = [event["type"] for event in events]
    runs = [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert runs == ["message_start", *block * 3, "message_delta", "message_stop"]
    begun = events[0]["message"]
    assert begun["content"] == []
    assert begun["stop_reason"] is None
    assert begun["usage"]["cache_read_input_tokens"] == 10
    starts = [event for event in events if event["type"] == "content_block_start"]
    assert [event["index"] for event in starts] == [0, 1, 2]
    assert [e["content_block"]["type"] for e in starts] == ["text", "tool_use", "tool_use"]
    partial = "".join(
        e["delta"]["partial_json"]
        for e in events
        if e["type"] == "content_block_delta" and e["index"] == 2
    )
    assert json.loads(partial) == {"city": "Köln"}
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] > 0


def test_a_failure_in_the_middle_is_an_error_event(make_client):
    """The stream ends with it, in Anthropic's shape."""
    last = stream(make_client(FakeAsyncEngine(fail_after=(2, RuntimeError("secret")))))[-1]
    assert last["type"] == "error"
    assert last["error"]["type"] == "api_error"
    assert "secret" not in last["error"]["message"]


def test_silence_is_filled_with_pings():
    """A ping is an event of its own type here."""
    import httpx2 as httpx

    engine = FakeAsyncEngine(gate=Gate(), free_pieces=1)
    body = {"model": "needle", "max_tokens": 200, "messages": HI, "stream": True}
    with (
        live_server(engine, sse_keep_alive_interval=0.05) as url,
        httpx.stream("POST", url + URL, json=body, timeout=20) as answer,
    ):
        lines = answer.iter_lines()
        assert "event: ping" in lines
        assert next(lines) == 'data: {"type":"ping"}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": []}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, "thinking"),
        ({"tools": [{**WEATHER, "type": "web_search_20250305"}]}, "tools[0].type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"container": "x"}, "container"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": [USE]}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [USE]}]}, "messages[0].content[0]"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}
                ]
            },
            "messages[0].content[0].tool_use_id",
        ),
        ({"output_config": {"effort": "high"}}, "output_config.effort"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(client, body, said):
    """400 in Anthropic's shape, whose message names the field."""
    status, error = refused(client, **body)
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert said in error["message"]


def test_every_failure_has_its_type(make_client):
    """401, 404, 501, 503 and 500 as Anthropic's clients know them."""
    keyed = make_client(api_keys=("secret",))
    assert refused(keyed)[0] == 401
    assert refused(keyed)[1]["type"] == "authentication_error"
    keyed.headers["x-api-key"] = "secret"
    assert ask(keyed)["role"] == "assistant"
    status, error = refused(make_client(), model="claude")
    assert (status, error["type"]) == (404, "not_found_error")
    image = [{"role": "user", "content": [{"type": "image", "source": {}}]}]
    assert refused(make_client(), messages=image)[0] == 501
    busy = make_client(FakeAsyncEngine(fail=EngineBusyError("the queue is full", 3)))
    status, error = refused(busy)
    assert (status, error["type"]) == (503, "overloaded_error")
    status, error = refused(make_client(FakeAsyncEngine(fail=RuntimeError("secret"))))
    assert (status, error["type"]) == (500, "api_error")
    too_long = make_client(FakeAsyncEngine(fail=ContextLengthError(5000, 64, 4096)))
    status, error = refused(too_long)
    assert status == 400
    assert "maximum context length is 4096 tokens" in error["message"]


def test_tokens_are_counted_as_they_are_read(engine, client):
    """count_tokens counts the prompt that the same body makes."""
    body = {"model": "needle", "messages": HI, "system": "Be brief.", "tools": [WEATHER]}
    ask(client, **body)
    counted = client.post(URL + "/count_tokens", json=body).json()
    assert counted == {"input_tokens": len(engine.requests[-1].prompt_token_ids)}
