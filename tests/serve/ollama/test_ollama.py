"""Ollama's API, byte by byte."""

import json
import re

import pytest

from longreach import __version__
from longreach.errors import ContextLengthError
from support.fake_async_engine import FakeAsyncEngine, qwen_template, thinking_template

HI = [{"role": "user", "content": "hi"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def chat(client, **body):
    """One answer to /api/chat."""
    return ask(client, "/api/chat", messages=HI, stream=False, **body)


def ask(client, url, **body):
    answer = client.post(url, json={"model": "needle", **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def lines(client, url, **body):
    """The lines of a stream, each one JSON and a newline."""
    answer = client.post(url, json={"model": "needle", **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    *each, rest = answer.content.split(b"\n")
    assert rest == b""
    return [json.loads(line) for line in each]


def refused(client, url="/api/chat", **body):
    given = {"messages": HI} if url == "/api/chat" else {"prompt": "hi"}
    answer = client.post(url, json={"model": "needle", **given, **body})
    assert list(answer.json()) == ["error"]
    return answer.status_code, answer.json()["error"]


def text_of(engine):
    ids = engine.requests[-1].prompt_token_ids
    return engine.tokenizer.decode(ids, skip_special_tokens=False)


def test_a_chat_streams_unless_asked_otherwise(client):
    """Pieces that are not done, then an empty one that is, with what it took."""
    *pieces, last = lines(client, "/api/chat", messages=HI)
    assert "".join(piece["message"]["content"] for piece in pieces) == "The pass key is 28884."
    for piece in pieces:
        assert piece["model"] == "needle"
        assert TIME.fullmatch(piece["created_at"])
        assert piece["message"]["role"] == "assistant"
        assert piece["done"] is False
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"]) == (True, "stop")


def test_durations_are_nanoseconds(client):
    """The engine's seconds times a billion; tokens counted on both sides."""
    answer = chat(client)
    assert answer["message"] == {"role": "assistant", "content": "The pass key is 28884."}
    assert answer["total_duration"] == 850_000_000
    assert answer["load_duration"] == 0
    assert answer["prompt_eval_duration"] == 500_000_000
    assert answer["eval_duration"] == 250_000_000
    assert answer["prompt_eval_count"] > 1
    assert answer["eval_count"] > 1


def test_generate_streams_one_text(engine, client):
    """The prompt is a user's turn, `system` the one before; the answer is `response`."""
    *pieces, last = lines(client, "/api/generate", prompt="What?", system="Be brief.")
    assert "".join(piece["response"] for piece in pieces) == "The pass key is 28884."
    assert last["done"]
    assert "system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat?<|im_end|>" in text_of(engine)
    whole = ask(client, "/api/generate", prompt="What?", stream=False)
    assert whole["response"] == "The pass key is 28884."
    assert "message" not in whole


def test_a_raw_prompt_is_left_as_it_is(engine, client):
    """No template, and as many tokens as there is room for."""
    ask(client, "/api/generate", prompt="<|im_start|>user", raw=True, stream=False)
    assert text_of(engine) == "<|im_start|>user"
    assert engine.requests[-1].params.max_tokens is None
    options = {"num_predict": 3}
    answer = ask(
        client, "/api/generate", prompt="x", raw=True, stream=False, options=options, format="json"
    )
    assert (answer["eval_count"], answer["done_reason"]) == (3, "length")
    assert engine.requests[-1].params.structured_outputs.json_object


def test_nothing_asked_is_a_model_that_is_there(client):
    """Clients load a model by an empty request."""
    answer = ask(client, "/api/generate")
    assert (answer["response"], answer["done"], answer["done_reason"]) == ("", True, "load")
    assert ask(client, "/api/chat", messages=[])["message"]["content"] == ""


def test_options_reach_the_engine(engine, client):
    """Ollama's names of what is drawn how, and those that change nothing."""
    options = {
        "temperature": 0.5,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.1,
        "seed": 7,
        "num_predict": 9,
        "stop": ["x"],
        "repeat_penalty": 1.1,
        "presence_penalty": 0.3,
        "frequency_penalty": 0.4,
        "num_ctx": 4096,
        "num_thread": 8,
        "num_gpu": 99,
    }
    chat(client, options=options, keep_alive="5m")
    params = engine.requests[-1].params
    assert (params.temperature, params.top_k, params.top_p, params.min_p) == (0.5, 5, 0.9, 0.1)
    assert (params.seed, params.max_tokens, params.stop_strings) == (7, 9, ("x",))
    assert params.repetition_penalty == 1.1
    assert (params.presence_penalty, params.frequency_penalty) == (0.3, 0.4)
    chat(client, options={"num_predict": -1})
    assert engine.requests[-1].params.max_tokens is None


@pytest.mark.parametrize("url", ["/api/chat", "/api/generate"])
def test_formats_reach_the_engine(engine, client, url):
    """format is "json" or a schema."""
    given = {"messages": HI} if url == "/api/chat" else {"prompt": "hi"}
    ask(client, url, format="json", stream=False, **given)
    assert engine.requests[-1].params.structured_outputs.json_object
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    ask(client, url, format=schema, stream=False, **given)
    assert engine.requests[-1].params.structured_outputs.json == schema
    ask(client, url, format="", stream=False, **given)
    assert engine.requests[-1].params.structured_outputs is None


def test_calls_are_whole(make_client):
    """Arguments are an object, and a streamed call comes in one piece."""
    client = make_client(FakeAsyncEngine(CALL + "\n" + CALL))
    called = {"name": "weather", "arguments": {"city": "Köln"}}
    message = chat(client, tools=[WEATHER])["message"]
    assert [call["function"] for call in message["tool_calls"]] == [
        {"index": 0, **called},
        {"index": 1, **called},
    ]
    pieces = lines(client, "/api/chat", messages=HI, tools=[WEATHER])
    told = [call for piece in pieces for call in piece["message"].get("tool_calls", ())]
    assert [call["function"] for call in told] == [{"index": 0, **called}, {"index": 1, **called}]


def test_a_history_with_calls_reaches_the_prompt(make_client):
    """Arguments as an object, results by the tool's name."""
    engine = FakeAsyncEngine(chat_template=qwen_template())
    call = {"function": {"name": "weather", "arguments": {"city": "Köln"}}}
    history = [
        *HI,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": "weather", "content": "sunny"},
    ]
    ask(make_client(engine), "/api/chat", messages=history, tools=[WEATHER], stream=False)
    assert CALL in text_of(engine)
    assert "<tool_response>\nsunny\n</tool_response>" in text_of(engine)


def test_thinking_is_told_apart(make_client):
    """It has its own field, whole and in pieces, for both routes."""
    engine = FakeAsyncEngine("hm\n</think>\n\nYes.", chat_template=thinking_template())
    client = make_client(engine)
    message = chat(client)["message"]
    assert (message["thinking"], message["content"]) == ("hm", "Yes.")
    pieces = lines(client, "/api/generate", prompt="hi")
    assert "".join(piece.get("thinking", "") for piece in pieces) == "hm"
    assert "".join(piece["response"] for piece in pieces) == "Yes."


def test_what_models_there_are(make_client):
    """tags and ps list every name, show and the answers know it with and without its tag."""
    client = make_client(served_model_names=("needle", "other"))
    [first, second] = client.get("/api/tags").json()["models"]
    assert (first["name"], second["model"]) == ("needle:latest", "other:latest")
    assert set(first) == {"name", "model", "modified_at", "size", "digest", "details"}
    assert re.fullmatch("[0-9a-f]{64}", first["digest"])
    running = client.get("/api/ps").json()["models"]
    assert running[0]["context_length"] == 4096
    shown = client.post("/api/show", json={"model": "other:latest"}).json()
    architecture = shown["model_info"]["general.architecture"]
    assert shown["model_info"][f"{architecture}.context_length"] == 4096
    assert shown["capabilities"] == ["completion", "tools"]
    assert chat(client, model="other:latest")["model"] == "other:latest"
    assert client.post("/api/show", json={"name": "needle"}).status_code == 200


def test_version(client):
    """Our own."""
    assert client.get("/api/version").json() == {"version": __version__}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"options": {"num_ctx": 9999}}, "num_ctx"),
        ({"options": {"num_predict": 0}}, "num_predict"),
        ({"options": {"temperature": -1}}, "options.temperature"),
        ({"options": {"mirostat": 2}}, "options.mirostat"),
        ({"options": {"repeat_last_n": 64}}, "options.repeat_last_n"),
        ({"options": {"typical_p": 0.5}}, "options.typical_p"),
        ({"options": {"unknown": 1}}, "options.unknown"),
        ({"truncate": True}, "truncate"),
        ({"think": True}, "does not support thinking"),
        ({"format": "yaml"}, "format"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"tools": [{"type": "other"}]}, "tools[0]"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(client, body, said):
    """400 in Ollama's shape, whose message names the field."""
    status, message = refused(client, **body)
    assert status == 400
    assert said in message


@pytest.mark.parametrize("body", [{"template": "x"}, {"suffix": "x"}, {"context": [1]}])
def test_generate_refuses_what_it_cannot_do(client, body):
    """Other templates, filling gaps, contexts as tokens."""
    status, message = refused(client, "/api/generate", **body)
    assert status == 400
    assert next(iter(body)) in message


def test_every_failure_has_its_status(make_client):
    """404 for other models, 501 for images, 401 without a key, 400 for what is too long."""
    assert refused(make_client(), model="llama3")[0] == 404
    images = [{"role": "user", "content": "x", "images": ["aGk="]}]
    assert refused(make_client(), messages=images)[0] == 501
    assert refused(make_client(), "/api/generate", images=["aGk="])[0] == 501
    assert refused(make_client(api_keys=("secret",)))[0] == 401
    too_long = make_client(FakeAsyncEngine(fail=ContextLengthError(5000, 1, 4096)))
    status, message = refused(too_long)
    assert status == 400
    assert "maximum context length is 4096" in message


def test_a_failure_in_the_middle_is_the_last_line(make_client):
    """Pieces, then a line with nothing but the error."""
    client = make_client(FakeAsyncEngine(fail_after=(2, RuntimeError("secret"))))
    *pieces, last = lines(client, "/api/chat", messages=HI)
    assert pieces
    assert list(last) == ["error"]
    assert "secret" not in last["error"]


def test_json_needs_no_type_but_from_pages(client):
    """curl's own type is taken, as in Ollama's examples; with an Origin it is not."""
    data = json.dumps({"model": "needle", "prompt": "hi", "stream": False})
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/api/generate", content=data, headers=headers).status_code == 200
    headers["origin"] = "https://example.com"
    answer = client.post("/api/generate", content=data, headers=headers)
    assert answer.status_code == 415
    assert list(answer.json()) == ["error"]
