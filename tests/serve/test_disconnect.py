"""A client that leaves stops the engine's work, whatever it waited for."""

import asyncio
import json
import logging

import pytest

from longreach.serve.app import create_app
from longreach.serve.settings import ServerSettings
from support.fake_async_engine import FakeAsyncEngine


class Client:
    """An ASGI client that leaves when `leave` is set."""

    def __init__(self, body):
        self.body = json.dumps(body).encode()
        self.leave = asyncio.Event()
        self.sent = []
        self.has_read = False

    async def receive(self):
        if not self.has_read:
            self.has_read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    def scope(self, path):
        headers = [(b"content-type", b"application/json")]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }

    @property
    def body_bytes(self):
        return b"".join(m.get("body", b"") for m in self.sent)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.001)


CHAT = {"messages": [{"role": "user", "content": "hi"}]}
PROMPTS = {"prompt": ["a", "b"]}


@pytest.mark.parametrize(
    ("path", "body", "count"),
    [("/v1/chat/completions", CHAT, 1), ("/v1/completions", PROMPTS, 2)],
)
@pytest.mark.parametrize("free_pieces", [0, 3])
@pytest.mark.parametrize("stream", [False, True])
def test_leaving_aborts(path, body, count, free_pieces, stream, caplog):
    """Before the first event or in the middle, streaming or not: aborted, forgotten, logged 499."""
    caplog.set_level(logging.INFO, "longreach.serve.access")

    async def run():
        engine = FakeAsyncEngine(gate=asyncio.Event(), free_pieces=free_pieces)
        app = create_app(engine, ServerSettings())
        client = Client({**body, "stream": stream})
        before = asyncio.all_tasks()
        task = asyncio.create_task(app(client.scope(path), client.receive, client.send))
        await until(lambda: len(engine.requests) == count)
        if stream and free_pieces:
            await until(lambda: b"pass" in client.body_bytes)
        assert len(app.state.context.running) == count
        client.leave.set()
        await asyncio.wait_for(task, 10)
        assert len(engine.aborted) == count
        assert app.state.context.running == {}
        assert asyncio.all_tasks() <= before | {asyncio.current_task()}
        assert b"[DONE]" not in client.body_bytes
        if not stream or not free_pieces:
            assert client.sent == []

    asyncio.run(run())
    assert " 499 " in caplog.text


def test_a_finished_stream_is_not_aborted():
    """A client that stays to the end is logged 200, and nothing is left."""

    async def run():
        engine = FakeAsyncEngine()
        app = create_app(engine, ServerSettings())
        client = Client({**CHAT, "stream": True})
        scope = client.scope("/v1/chat/completions")
        await asyncio.wait_for(app(scope, client.receive, client.send), 10)
        assert client.body_bytes.endswith(b"data: [DONE]\n\n")
        assert client.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
        assert engine.aborted == []
        assert app.state.context.running == {}

    asyncio.run(run())


def test_silence_before_the_first_token_is_pinged():
    """The stream opens after one interval without an event, and pings go on."""

    async def run():
        engine = FakeAsyncEngine(gate=asyncio.Event(), steps=0)
        app = create_app(engine, ServerSettings(sse_keep_alive_interval=0.01))
        client = Client({**CHAT, "stream": True})
        scope = client.scope("/v1/chat/completions")
        task = asyncio.create_task(app(scope, client.receive, client.send))
        await until(lambda: client.body_bytes.count(b": ping\n\n") >= 3)
        assert client.sent[0]["status"] == 200
        engine.gate.set()
        await asyncio.wait_for(task, 10)
        assert client.body_bytes.endswith(b"data: [DONE]\n\n")

    asyncio.run(run())


def test_a_client_that_leaves_while_it_sends_is_no_error(caplog):
    """A body that never ends well is logged as 499."""
    caplog.set_level(logging.INFO, "longreach.serve")

    async def run():
        app = create_app(FakeAsyncEngine(), ServerSettings())
        client = Client({})
        client.has_read = True
        client.leave.set()
        scope = client.scope("/v1/chat/completions")
        await asyncio.wait_for(app(scope, client.receive, client.send), 10)
        assert client.sent == []

    asyncio.run(run())
    assert " 499 " in caplog.text
    assert "failed" not in caplog.text


def test_a_client_that_left_pays_for_no_embeddings():
    """What its prompts were charged is given back."""

    class Stuck(FakeAsyncEngine):
        async def embed(self, prompts, **options):
            self.requests.append(prompts)
            await asyncio.Event().wait()

    async def run():
        engine = Stuck()
        app = create_app(engine, ServerSettings(max_prefill_tokens_per_minute=60))
        client = Client({"input": [[5] * 70]})
        task = asyncio.create_task(app(client.scope("/v1/embeddings"), client.receive, client.send))
        await until(lambda: engine.requests)
        [bucket] = app.state.context.limits._buckets.values()
        assert bucket.level < 0
        client.leave.set()
        await asyncio.wait_for(task, 10)
        assert bucket.level == pytest.approx(60)

    asyncio.run(run())
