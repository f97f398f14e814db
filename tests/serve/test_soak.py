"""A thousand mixed requests, a third of them left: nothing is kept, no seat, page, task or byte."""

import asyncio
import gc
import json
import random

import psutil
import pytest

from longreach.serve.app import create_app
from longreach.serve.settings import ServerSettings
from support.async_engine import build, prompt_ids, running

pytestmark = pytest.mark.slow

NUM_REQUESTS, WARM_UP = 1000, 400
LEAVE = 0.3
AT_ONCE = 24
GROWTH = 32 * 2**20
"""Bytes by which the process may grow after WARM_UP requests: allocators keep some."""
KEYS = ("one", "two")


class Visitor:
    """One request over ASGI. patience: messages after which it leaves; None: it stays."""

    def __init__(self, path, body, *, key, patience, conversation=None):
        self.path = path
        self.body = json.dumps(body).encode()
        self.headers = [(b"content-type", b"application/json"), (b"x-api-key", key.encode())]
        if conversation is not None:
            self.headers.append((b"x-conversation-id", conversation.encode()))
        self.patience = patience
        self.statuses = []
        self.has_sent = False
        self.has_left = asyncio.Event()

    async def receive(self):
        if not self.has_sent:
            self.has_sent = True
            if self.patience == 0:
                asyncio.get_running_loop().call_later(0.005, self.has_left.set)
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])
        elif self.patience is not None:
            self.patience -= 1
            if self.patience <= 0:
                self.has_left.set()

    async def visit(self, app):
        scope = {"type": "http", "method": "POST", "path": self.path, "headers": self.headers}
        scope |= {"query_string": b"", "http_version": "1.1", "asgi": {"version": "3.0"}}
        scope |= {"raw_path": self.path.encode(), "root_path": "", "scheme": "http"}
        await app(scope | {"client": None, "server": None}, self.receive, self.send)
        return self.statuses[0] if self.statuses else None


def mixed(draw, at):
    """Every family of routes, long and short, streamed or not, some of it wrong."""
    text = "The sky is blue. " * draw.choice([1, 1, 3, 12])
    turn = [{"role": "user", "content": f"{text} {at % 7}"}]
    common = {"max_tokens": draw.randint(1, 12), "stream": draw.random() < 0.6}
    random_ids = prompt_ids(draw.randint(1, 300), seed=at % 11)
    return draw.choice(
        [
            ("/v1/chat/completions", {"messages": turn, "n": draw.choice([1, 1, 2]), **common}),
            ("/v1/completions", {"prompt": random_ids, "ignore_eos": True, **common}),
            ("/v1/completions", {"prompt": ["a", "b", "c"], **common}),
            ("/v1/messages", {"model": "tiny", "messages": turn, **common}),
            (
                "/v1/responses",
                {"input": text, "max_output_tokens": 5, "store": False, "stream": True},
            ),
            ("/v1/embeddings", {"input": [random_ids, [1, 2]]}),
            ("/v1/estimate", {"prompt": text}),
            ("/v1/chat/completions", {"messages": turn, "temperature": 9}),
            ("/v1/chat/completions", {"messages": turn, "max_tokens": 10**6}),
        ]
    )


async def visits(app, draw, count):
    """So many requests, AT_ONCE at a time; their statuses."""
    seats = asyncio.Semaphore(AT_ONCE)

    async def one(at):
        path, body = mixed(draw, at)
        patience = draw.choice([0, 0, 1, 2, 4]) if draw.random() < LEAVE else None
        conversation = "talk" if draw.random() < 0.05 else None
        visitor = Visitor(
            path, body, key=draw.choice(KEYS), patience=patience, conversation=conversation
        )
        async with seats:
            return await visitor.visit(app)

    return await asyncio.gather(*(one(at) for at in range(count)))


async def settled(app, engine):
    """Wait until nothing runs any more, detached streams included."""
    context = app.state.context
    async with asyncio.timeout(60):
        await context.detached.finish()
        while context.running or engine.status.num_running or engine.status.num_waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    gc.collect()
    return psutil.Process().memory_info().rss


async def soak(engine):
    settings = ServerSettings(
        served_model_names=("tiny",), api_keys=KEYS, max_prefill_tokens_per_minute=10**9
    )
    app = create_app(engine, settings)
    draw = random.Random(0)
    before = asyncio.all_tasks()
    statuses = await visits(app, draw, WARM_UP)
    warm = await settled(app, engine)
    statuses += await visits(app, draw, NUM_REQUESTS - WARM_UP)
    grown = await settled(app, engine) - warm
    assert app.state.context.running == {}
    assert asyncio.all_tasks() <= before
    return statuses, grown


def test_nothing_is_kept(tiny_qwen2):
    """No running entry, task, seat or page; memory is flat; nobody who stayed saw a failure."""
    engine = build(tiny_qwen2, num_kv_tokens=4096, max_num_seqs=8, max_num_batched_tokens=256)
    with running(engine) as served:
        statuses, grown = asyncio.run(soak(served))
        assert (served.status.num_running, served.status.num_waiting) == (0, 0)
        assert engine.cache.stats().num_owned == 0
    assert len(statuses) == NUM_REQUESTS
    assert set(statuses) <= {None, 200, 400}
    assert statuses.count(200) > NUM_REQUESTS / 2
    assert statuses.count(None) > NUM_REQUESTS / 20
    print(f"grown by {grown / 2**20:.1f} MiB")
    assert grown < GROWTH
