"""One line per request, without anything that was said."""

import asyncio
import json
import logging

import pytest

from longreach.serve.access import AccessLine
from longreach.serve.logs import JsonFormatter, configure_logging
from support.fake_async_engine import FakeAsyncEngine

SAID = "a very private sentence"
CHAT = {"messages": [{"role": "user", "content": SAID}]}


@pytest.fixture
def lines(caplog):
    """The fields of the lines that were logged so far."""
    caplog.set_level(logging.INFO, "longreach.serve.access")
    return lambda: [
        json.loads(JsonFormatter().format(record))
        for record in caplog.records
        if record.name == "longreach.serve.access"
    ]


def test_a_line_has_all_that_it_took(make_client, lines, caplog):
    """Id, route, status, time, tokens; and no word of the prompt or the answer, in any format."""
    client = make_client(FakeAsyncEngine(num_cached=2))
    answer = client.post("/v1/chat/completions", json=CHAT, headers={"X-Request-Id": "me-1"})
    (line,) = lines()
    usage = answer.json()["usage"]
    assert line["request_id"] == "me-1"
    assert (line["method"], line["status"]) == ("POST", 200)
    assert line["path"] == line["route"] == "/v1/chat/completions"
    assert line["ms"] > 0
    assert line["prompt_tokens"] == usage["prompt_tokens"]
    assert line["generated_tokens"] == usage["completion_tokens"]
    assert (line["cached_tokens"], line["ttft_s"]) == (2, 0.5)
    for text in (caplog.text, json.dumps(line)):
        assert SAID not in text
        assert "28884" not in text


@pytest.mark.parametrize("stream", [False, True])
def test_each_request_has_its_own_counts(client, lines, stream):
    """One after the other, streamed or not, and one that asks no model."""
    for _ in range(2):
        client.post("/v1/chat/completions", json={**CHAT, "stream": stream})
    client.get("/v1/models")
    first, second, last = lines()
    assert first["prompt_tokens"] == second["prompt_tokens"] > 0
    assert last["prompt_tokens"] == 0


def test_prompts_of_one_request_are_added(client, lines):
    """A line is of a request, not of a prompt."""
    client.post("/v1/completions", json={"prompt": [[1, 2], [3, 4, 5]], "max_tokens": 1})
    assert lines()[0]["prompt_tokens"] == 5


def test_patterns_of_routes_are_told(client, lines):
    """So that lines can be counted by route; unknown paths have none."""
    client.get("/v1/responses/resp_1")
    client.get("/nothing")
    assert [line["route"] for line in lines()] == ["/v1/responses/{response_id}", None]


def test_paths_that_are_not_logged(make_client, lines):
    """As --disable-access-log-for-endpoints names them."""
    client = make_client(disable_access_log_for_endpoints=("/health", "/ready"))
    for path in ("/health", "/ready", "/version"):
        client.get(path)
    assert [line["path"] for line in lines()] == ["/version"]


def test_a_path_cannot_forge_a_line(client, caplog):
    """Line ends in it are written as they were sent."""
    caplog.set_level(logging.INFO, "longreach.serve.access")
    client.get("/a%0AGET /admin 200")
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert "%0A" in record.getMessage()


def test_json_is_one_line_whatever_is_logged():
    """Line ends, lone surrogates, objects, traces."""
    formatter = JsonFormatter()
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "a\n%s", ("\ud800",), None)
    try:
        int("x")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    text = formatter.format(record)
    assert "\n" not in text
    assert json.loads(text)["message"] == "a\n\ud800"
    assert "ValueError: invalid literal" in json.loads(text)["trace"]


@pytest.mark.parametrize(("log_format", "start"), [("text", "2"), ("json", "{")])
def test_the_process_logs_in_the_format_asked_for(log_format, start, capfd, monkeypatch):
    """To stderr, lines of libraries too."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    try:
        configure_logging(log_format, "info")
        logging.getLogger("uvicorn.error").info("listening")
        AccessLine(request_id="i", method="GET", path="/", route="/", status=200, ms=1.0).log()
    finally:
        root.setLevel(level)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(start) for line in lines)


def test_a_client_that_left_is_499_with_what_it_took(lines):
    """Though nothing was sent to it."""
    from longreach.serve.app import create_app
    from longreach.serve.settings import ServerSettings

    async def run():
        engine = FakeAsyncEngine(gate=asyncio.Event())
        app = create_app(engine, ServerSettings())
        messages = [{"type": "http.request", "body": json.dumps(CHAT).encode()}]

        async def receive():
            if messages:
                return messages.pop()
            while not engine.requests:  # noqa: ASYNC110 - a list
                await asyncio.sleep(0.001)
            return {"type": "http.disconnect"}

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"}
        scope |= {"headers": headers, "query_string": b"", "http_version": "1.1"}
        await app(scope, receive, lambda message: asyncio.sleep(0))

    asyncio.run(run())
    (line,) = lines()
    assert line["status"] == 499
    assert line["prompt_tokens"] > 0
    assert line["generated_tokens"] == 0
