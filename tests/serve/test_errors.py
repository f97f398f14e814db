"""Every row of the table of errors: status, body, headers."""

import pytest
from starlette.testclient import TestClient

from longreach.errors import (
    EngineBusyError,
    EngineClosedError,
    LongreachError,
    MemoryPlanError,
    TemplateError,
)
from longreach.serve.app import create_app
from longreach.serve.settings import ServerSettings
from support.fake_async_engine import FakeAsyncEngine

URL = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
FIELDS = {"message", "type", "param", "code"}


def check(response, status, kind, code, param):
    """An error of this row, in OpenAI's shape, with the headers every answer has."""
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["code"], error["param"]) == (
        status,
        kind,
        code,
        param,
    )
    assert set(error) >= FIELDS
    assert error["message"]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    retryable = status in (429, 500, 503)
    assert response.headers.get("x-should-retry") == (None if retryable else "false")
    return error


def chat(**changes):
    return {"messages": HI, **changes}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "king", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]},
            "messages[0].tool_calls[0].function.name",
        ),
        (chat(temperature="hot"), "temperature"),
        (chat(stream="yes"), "stream"),
        (chat(temperature=-0.1), "temperature"),
        (chat(temperature=2.1), "temperature"),
        (chat(top_p=0), "top_p"),
        (chat(top_p=1.1), "top_p"),
        (chat(n=0), "n"),
        (chat(n=True), "n"),
        (chat(n=2, temperature=0), "n"),
        (chat(logprobs=True, top_logprobs=21), "top_logprobs"),
        (chat(top_logprobs=2), "top_logprobs"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens=1, max_completion_tokens=2), "max_tokens"),
        (chat(max_tokens=1, min_tokens=2), "min_tokens"),
        (chat(logit_bias={"1": 101}), "logit_bias.1"),
        (chat(logit_bias={"a": 1}), "logit_bias"),
        (chat(logit_bias={"1" * 5000: 1}), "logit_bias"),
        (chat(repetition_penalty=1e-39), "repetition_penalty"),
        (chat(repetition_penalty=1e39), "repetition_penalty"),
        (chat(stop=["x"] * 65), "stop"),
        (chat(stop=["a", "x" * 1001]), "stop"),
        (chat(stop="x" * 1001), "stop"),
        (chat(chat_template_kwargs={"self": 1}), "chat_template_kwargs"),
        (chat(stream_options={"include_usage": True}), "stream_options"),
        (chat(stream=False, return_progress=True), "return_progress"),
        (chat(stream=True, prompt_logprobs=1), "prompt_logprobs"),
        (chat(tool_choice="auto"), "tool_choice"),
        (chat(tools=[]), "tool_choice"),
        (chat(tools=[], tool_choice="auto"), "tool_choice"),
        (
            chat(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "g"}}),
            "tool_choice",
        ),
        (chat(tools=[{"type": "function"}]), "tools[0]"),
        (chat(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
        (chat(parallel_tool_calls=False), "parallel_tool_calls"),
        (chat(function_call="auto"), "function_call"),
        (chat(functions=[{"name": "f"}], tools=[TOOL]), "functions"),
        (chat(reasoning_effort="high"), "reasoning_effort"),
        (chat(chat_template_kwargs={"tools": []}), "chat_template_kwargs"),
        (chat(add_generation_prompt=True, continue_final_message=True), "add_generation_prompt"),
        (
            chat(tools=[TOOL], tool_choice="required", response_format={"type": "json_object"}),
            "response_format",
        ),
        (
            chat(guided_regex="a", structured_outputs={"regex": "a"}),
            "structured_outputs",
        ),
    ],
)
def test_a_bad_field_is_named(client, body, param):
    """400 with the path of the field, as `messages[0].content`; never FastAPI's 422."""
    check(client.post(URL, json=body), 400, "invalid_request_error", None, param)


def test_an_unknown_field_is_refused_by_name(client):
    """400 that names it, however deep it is."""
    for body, name in (
        (chat(temprature=1), "temprature"),
        ({"messages": [{"role": "user", "content": "hi", "mood": "good"}]}, "messages[0].mood"),
    ):
        error = check(
            client.post(URL, json=body), 400, "invalid_request_error", "unknown_parameter", name
        )
        assert name in error["message"]


def test_what_official_clients_send_is_let_through(client):
    """Inert fields are accepted, and only those on the list."""
    inert = {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto"}
    assert client.post(URL, json=chat(**inert)).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[1", b"\xff", b'{"messages": NaN}', b'"\\ud800"'])
def test_no_json_is_400(client, body):
    """Whatever cannot be read as JSON is one error without a field."""
    response = client.post(URL, content=body, headers={"Content-Type": "application/json"})
    check(response, 400, "invalid_request_error", None, None)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_415(client, kind):
    """A body that is not said to be JSON is not read as JSON."""
    headers = {"Content-Type": kind} if kind else {}
    response = client.post(URL, content=b"{}", headers=headers)
    check(response, 415, "invalid_request_error", None, None)


def test_a_long_body_is_413(make_client):
    """Bodies are bounded, with and without a length that is said beforehand."""
    client = make_client(max_body_bytes=100)
    headers = {"Content-Type": "application/json"}
    for content in (b" " * 101, iter([b" " * 60, b" " * 60])):
        response = client.post(URL, content=content, headers=headers)
        check(response, 413, "invalid_request_error", "request_too_large", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}},
        ),
        ("structured_outputs", {"regex": "("}),
        ("guided_grammar", "start"),
    ],
)
def test_a_bad_schema_or_grammar_is_named(make_client, field, value):
    """400 invalid_json_schema with the field that asked for it."""
    from longreach.errors import InvalidRequestError

    engine = FakeAsyncEngine(fail=InvalidRequestError("structured_outputs", {}, "a valid schema"))
    response = make_client(engine).post(URL, json=chat(**{field: value}))
    check(response, 400, "invalid_request_error", "invalid_json_schema", field)


def test_a_format_without_its_schema_is_400(client):
    """json_schema needs one."""
    response = client.post(URL, json=chat(response_format={"type": "json_schema"}))
    param = "response_format.json_schema.schema"
    check(response, 400, "invalid_request_error", "invalid_json_schema", param)


def test_a_tool_schema_that_cannot_be_enforced_is_400(client):
    """A forced call needs a schema that can be enforced."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}
    response = client.post(URL, json=chat(tools=[tool], tool_choice="required"))
    check(response, 400, "invalid_request_error", None, "tools[0].function.parameters")


def test_a_long_prompt_is_told_in_the_words_agents_look_for(make_client):
    """Both counts are in the text and beside the four fields."""
    client = make_client(FakeAsyncEngine(max_model_len=20))
    response = client.post(URL, json={"messages": [{"role": "user", "content": "hi " * 50}]})
    error = check(response, 400, "invalid_request_error", "context_length_exceeded", "messages")
    tokens = error["n_prompt_tokens"]
    assert error["n_ctx"] == 20
    assert error["message"].startswith(
        "This model's maximum context length is 20 tokens. "
        f"However, your messages resulted in {tokens} tokens"
    )


def test_a_long_completion_prompt_is_its_prompt(make_client):
    """The field at fault is the one the client knows."""
    client = make_client(FakeAsyncEngine(max_model_len=20))
    response = client.post("/v1/completions", json={"prompt": "hi " * 50})
    error = check(response, 400, "invalid_request_error", "context_length_exceeded", "prompt")
    assert "your prompt resulted in" in error["message"]


def test_too_many_answer_tokens_tell_both_numbers(client):
    """A prompt that fits, with more asked for than is left."""
    response = client.post(URL, json=chat(max_tokens=4096))
    error = check(response, 400, "invalid_request_error", "context_length_exceeded", "messages")
    assert "4096 more were asked for" in error["message"]
    assert "max_tokens" not in error["message"]  # other routes have another name for it


def test_unknown_model(client):
    """404 model_not_found, on every route that takes a model."""
    for path, body in (
        (URL, chat(model="gpt-9")),
        ("/v1/completions", {"model": "gpt-9", "prompt": "a"}),
        ("/tokenize", {"model": "gpt-9", "prompt": "a"}),
    ):
        response = client.post(path, json=body)
        check(response, 404, "invalid_request_error", "model_not_found", "model")
    response = client.get("/v1/models/gpt-9")
    check(response, 404, "invalid_request_error", "model_not_found", "model")


def test_unknown_route_and_method(client):
    """404 unknown_url and 405 with what is allowed."""
    check(client.get("/v2/nothing"), 404, "invalid_request_error", "unknown_url", None)
    response = client.get(URL)
    check(response, 405, "invalid_request_error", "method_not_supported", None)
    assert response.headers["allow"] == "POST"


def test_missing_and_wrong_keys(make_client):
    """401 with WWW-Authenticate, in OpenAI's shape."""
    client = make_client(api_keys=("secret",))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
        response = client.post(URL, json=chat(), headers=headers)
        check(response, 401, "invalid_request_error", "invalid_api_key", None)
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "video_url"])
def test_other_modalities_are_501(client, kind):
    """not_supported_error with the part at fault."""
    messages = [{"role": "user", "content": [{"type": kind, kind: {}}]}]
    response = client.post(URL, json={"messages": messages})
    check(response, 501, "not_supported_error", None, "messages[0].content[0]")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/slots/0?action=save"),
        ("POST", "/slots/0?action=restore"),
        ("POST", "/slots/7?action=erase"),
        ("POST", "/models/load"),
        ("POST", "/models/unload"),
        ("GET", "/models/sse"),
    ],
)
def test_endpoints_of_other_servers_are_501(client, method, path):
    """What llama.cpp's clients may ask for, and this server does not do, says so."""
    body = {"json": {"filename": "a.bin", "model": "x"}} if method == "POST" else {}
    check(client.request(method, path, **body), 501, "not_supported_error", None, None)


def test_audio_answers_are_501(client):
    """Asked for by modalities."""
    response = client.post(URL, json=chat(modalities=["text", "audio"]))
    check(response, 501, "not_supported_error", None, "modalities")


def test_while_the_model_loads():
    """503 model_loading with Retry-After, on health and on all that needs the model."""
    client = TestClient(create_app(None, ServerSettings()), raise_server_exceptions=False)
    for response in (client.get("/health"), client.get("/ready"), client.post(URL, json=chat())):
        check(response, 503, "unavailable_error", "model_loading", None)
        assert int(response.headers["retry-after"]) >= 1
    assert client.get("/version").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "row"),
    [
        (EngineBusyError("queue", 7.4), (503, "rate_limit_error", "queue_full", None)),
        (EngineClosedError("draining"), (503, "unavailable_error", "shutting_down", None)),
        (
            MemoryPlanError(2**30, 2**20, {"kv": 2**30}),
            (400, "invalid_request_error", "kv_capacity_exceeded", "messages"),
        ),
        (TemplateError("no"), (400, "invalid_request_error", None, "messages")),
        (ZeroDivisionError("/home/secret"), (500, "server_error", "internal_error", None)),
    ],
)
def test_what_the_engine_refuses(make_client, error, row, stream):
    """A stream that never began is a plain answer with its status, too."""
    response = make_client(FakeAsyncEngine(fail=error)).post(URL, json=chat(stream=stream))
    check(response, *row)
    assert "secret" not in response.text
    if isinstance(error, EngineBusyError):
        assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_fails_at_once_has_its_status(make_client, stream):
    """An error that is the first thing to happen decides the status of a stream as well."""
    engine = FakeAsyncEngine(steps=0, fail_after=(0, MemoryPlanError(2, 1, {})))
    response = make_client(engine).post(URL, json=chat(stream=stream))
    check(response, 400, "invalid_request_error", "kv_capacity_exceeded", "messages")


def test_a_bug_of_ours_is_500_without_its_trace(make_client, caplog):
    """The log has the trace, the client has the request id to find it by."""

    class Broken(FakeAsyncEngine):
        @property
        def status(self):
            raise RuntimeError("/home/secret")

        @status.setter
        def status(self, value):
            pass

    response = make_client(Broken()).get("/health")
    check(response, 500, "server_error", "internal_error", None)
    assert "secret" not in response.text
    assert "secret" in caplog.text


class OddEngine(FakeAsyncEngine):
    async def embed(self, prompts, **options):
        raise LongreachError("secret")


@pytest.mark.parametrize("path", [URL, "/v1/embeddings"])
def test_every_500_is_logged_under_its_request_id(make_client, caplog, path):
    """Also one that comes of an error of our own kind which has no answer."""
    client = make_client(OddEngine(fail=None if "emb" in path else LongreachError("secret")))
    body = {"input": "a"} if "emb" in path else chat()
    response = client.post(path, json=body, headers={"X-Request-Id": "mine-1"})
    check(response, 500, "server_error", "internal_error", None)
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == "request mine-1 failed"
    assert "secret" in caplog.text


def test_echoes_are_bounded(client):
    """At most 200 characters of what was sent come back, and at most ten findings."""
    long = "x" * 10_000
    for body in (
        {"messages": [{"role": long, "content": "a"}]},
        chat(model=long),
        chat(**{long: 1}),
        chat(stop=[long, 5]),
        chat(tools=[{"type": long}]),
        {"messages": [{"role": "user", "content": [{"type": long}]}]},
    ):
        response = client.post(URL, json=body)
        assert response.status_code in (400, 404)
        assert len(response.text) < 1500
    many = client.post("/tokenize", json={f"field{i}": 1 for i in range(1000)})
    assert many.status_code == 400
    assert len(many.text) < 3000


def test_the_request_id_is_echoed_or_made(client):
    """What is no harmless id is replaced."""
    assert client.get("/version", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == (
        "abc-1"
    )
    made = client.get("/version", headers={"X-Request-Id": "a b"}).headers["x-request-id"]
    assert made != "a b"
    assert len(made) == 32
