"""A server that speaks OpenAI's chat completions, as the chat sees it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from longreach.cli.chat.backend import Piece, Thought
from longreach.cli.chat.http import HttpBackend
from longreach.errors import LongreachError

ASK = [{"role": "user", "content": "Is it?"}]
MODELS = {"data": [{"id": "qwen", "max_model_len": 131_072}, {"id": "other"}]}


def chunk(delta=None, finish_reason=None, **fields):
    choices = (
        [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    )
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "qwen"}
    return {**base, "choices": choices, **fields}


ANSWER = [
    chunk(prompt_progress={"total": 100, "cache": 60, "processed": 60, "time_ms": 1}),
    chunk(
        prompt_progress={
            "total": 100,
            "cache": 60,
            "processed": 100,
            "time_ms": 9,
            "eta_ms": 500,
        }
    ),
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Hm."}),
    chunk({"content": "Ja, "}),
    chunk({"content": "höher."}),
    chunk({}, "stop"),
    chunk(
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "total_tokens": 105,
            "prompt_tokens_details": {"cached_tokens": 60},
        }
    ),
]


class Server:
    """Answers as told. `replies`: (status, body) per chat request; `requests`: what was asked.

    A body that is a list is a stream of events; None among them breaks the line.
    """

    def __init__(self):
        self.models = (200, MODELS)
        self.replies = []
        self.requests = []
        self.keys = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.keys.append(self.headers["Authorization"])
                self.send(*outer.models)

            def do_POST(self):
                size = int(self.headers["Content-Length"])
                outer.requests.append(json.loads(self.rfile.read(size)))
                self.send(*outer.replies.pop(0))

            def send(self, status, body):
                self.send_response(status)
                if isinstance(body, list):
                    self.send_header("Content-Type", "text/event-stream")
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.send_events(body)
                else:
                    data = json.dumps(body).encode()
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.send_header("x-should-retry", "false")
                    self.end_headers()
                    self.wfile.write(data)

            def send_events(self, events):
                for event in events:
                    if event is None:  # the line breaks
                        self.close_connection = True
                        return
                    self.send_piece(f"data: {json.dumps(event)}\n\n".encode())
                self.send_piece(b"data: [DONE]\n\n")
                self.send_piece(b"")

            def send_piece(self, data):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.delenv("http_proxy", raising=False)
    server = Server()
    yield server
    server.close()


def error(message, **fields):
    return {"error": {"message": message, "type": "invalid_request_error", **fields}}


def test_reads_a_whole_answer(server):
    """Progress, thoughts, text and usage arrive, and the request says what was set."""
    server.replies = [(200, ANSWER)]
    backend = HttpBackend(server.url, api_key="secret")
    seen = []
    settings = {"temperature": 0.5, "top_k": 20, "max_tokens": 9, "seed": 1}
    *events, usage = backend.answer(ASK, settings, lambda *counts: seen.append(counts))
    assert events == [Thought("Hm."), Piece("Ja, "), Piece("höher.")]
    assert seen == [(60, 100, 60, None), (100, 100, 60, 0.5)]
    assert (usage.num_prompt_tokens, usage.num_cached_tokens) == (100, 60)
    assert usage.num_answer_tokens == 5
    assert usage.tokens_per_s > 0
    assert not usage.is_cut
    (asked,) = server.requests
    assert {key: asked[key] for key in settings} == settings
    assert (asked["messages"], asked["stream"], asked["return_progress"]) == (ASK, True, True)
    assert server.keys == ["Bearer secret"]


def test_takes_the_first_model_and_its_context(server):
    """Without a name the first model is asked; its context is the meter's limit."""
    backend = HttpBackend(server.url, api_key=None)
    assert (backend.name, backend.max_context) == ("qwen", 131_072)
    other = HttpBackend(server.url, api_key=None, model="other")
    assert (other.name, other.max_context) == ("other", None)


@pytest.mark.parametrize(
    ("entry", "context"),
    [
        ({"meta": {"n_ctx_train": 32768}}, 32768),
        ({"context_length": "4096"}, 4096),
        ({"max_model_len": None, "meta": None}, None),
    ],
)
def test_reads_the_context_of_other_servers(server, entry, context):
    """The context is found where vLLM, routers and llama.cpp write it."""
    server.models = (200, {"data": [{"id": "m", **entry}]})
    assert HttpBackend(server.url, api_key=None).max_context == context


def test_does_without_progress_where_it_is_refused(server):
    """A server that knows no return_progress is asked again without it, and never with it again."""
    server.replies = [
        (400, error("Unknown parameter: return_progress")),
        (200, ANSWER[2:]),
        (200, ANSWER[2:]),
    ]
    backend = HttpBackend(server.url, api_key=None)
    for _ in range(2):
        assert Piece("Ja, ") in list(backend.answer(ASK, {}, None))
    assert ["return_progress" in request for request in server.requests] == [True, False, False]


def test_a_bare_server_is_enough(server):
    """No model list, no usage, no progress: a named model still answers."""
    server.models = (404, error("not here"))
    server.replies = [(200, [chunk({"content": "Ja"}), chunk({}, "length")])]
    backend = HttpBackend(server.url, api_key=None, model="m")
    piece, usage = backend.answer(ASK, {}, None)
    assert piece == Piece("Ja")
    assert usage.is_cut
    assert usage.num_prompt_tokens is None


def test_a_refusal_is_one_line(server):
    """A server's error reads as its status and its message."""
    message = "This model's maximum context length is 10 tokens."
    server.replies = [(400, error(message, code="context_length_exceeded"))]
    backend = HttpBackend(server.url, api_key=None)
    with pytest.raises(LongreachError, match=f"answered 400: {message}"):
        list(backend.answer(ASK, {}, None))


def test_an_error_in_the_stream_is_one_line(server):
    """An error after the first words is raised with its message."""
    server.replies = [(200, [chunk({"content": "Ja"}), error("out of memory")])]
    events = HttpBackend(server.url, api_key=None).answer(ASK, {}, None)
    assert next(events) == Piece("Ja")
    with pytest.raises(LongreachError, match="out of memory"):
        next(events)


def test_a_line_that_breaks_is_one_line(server):
    """A connection that ends in the middle of an answer is an error, not an answer."""
    server.replies = [(200, [chunk({"content": "Ja"}), None])]
    events = HttpBackend(server.url, api_key=None).answer(ASK, {}, None)
    assert next(events) == Piece("Ja")
    with pytest.raises(LongreachError, match=f"no connection to {server.url}"):
        next(events)


@pytest.mark.parametrize("models", [(401, error("no key")), (200, {"data": []})])
def test_a_server_without_models(server, models):
    """Without a model to ask there is no conversation."""
    server.models = models
    with pytest.raises(LongreachError, match=r"answered 401: no key|--model"):
        HttpBackend(server.url, api_key=None)


def test_no_server(server):
    """A server that is not there is named."""
    server.close()
    with pytest.raises(LongreachError, match=f"no connection to {server.url}"):
        HttpBackend(server.url, api_key=None)
