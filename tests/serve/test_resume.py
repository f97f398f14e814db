"""Streams that survive their connection: read on, asked about, stopped."""

import asyncio
import re
import time

import httpx2
import pytest

from longreach.serve import conversations
from support.fake_async_engine import FakeAsyncEngine
from support.serving import Gate, live_server

CHAT = "/v1/chat/completions"
NAMED = {"X-Conversation-Id": "conv/1"}
HI = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
ROUTES = {
    CHAT: HI,
    "/v1/completions": {"prompt": "hi", "stream": True, "max_tokens": 64},
    "/v1/responses": {"input": "hi", "stream": True},
    "/v1/messages": {**HI, "model": "needle", "max_tokens": 64},
}


def read_on(client, start=0, **options):
    return client.get("/v1/stream", params={"conv_id": "conv/1", "from": start}, **options)


def look_up(client, *ids, **options):
    return client.post("/v1/streams/lookup", json={"conversation_ids": ids}, **options).json()


@pytest.mark.parametrize("url", ROUTES)
def test_the_same_bytes_come_again(client, url):
    """From any byte on, on every route that streams."""
    whole = client.post(url, json=ROUTES[url], headers=NAMED)
    assert whole.status_code == 200
    for start in (0, 1, 100, len(whole.content)):
        answer = read_on(client, start)
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.content == whole.content[start:]
    [status] = look_up(client, "conv/1", "conv/2")
    assert status["conversation_id"] == "conv/1"
    assert status["is_done"]
    assert status["total_bytes"] == len(whole.content)
    assert status["completed_at"] >= status["started_at"] > 0


def test_without_a_name_nothing_is_kept(client):
    """A stream is as it always was."""
    client.post(CHAT, json=HI)
    assert look_up(client, "conv/1") == []
    assert client.app.state.context.conversations == {}


def test_a_failure_at_once_keeps_its_status(make_client):
    """It is no stream, and nothing is kept of it."""
    client = make_client(FakeAsyncEngine(fail=RuntimeError("x")))
    assert client.post(CHAT, json=HI, headers=NAMED).status_code == 500
    assert read_on(client).status_code == 404


def test_what_cannot_be_read(client, monkeypatch):
    """404 for what is not there or over, 400 for offsets that are not."""
    assert client.get("/v1/stream").status_code == 400
    assert read_on(client).status_code == 404
    size = len(client.post(CHAT, json=HI, headers=NAMED).content)
    for start in (-1, "x", size + 1):
        answer = read_on(client, start)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "from")
    monkeypatch.setattr(conversations, "KEEP_S", -1)
    assert read_on(client).status_code == 404
    long = {"X-Conversation-Id": "x" * 600}
    assert client.post(CHAT, json=HI, headers=long).status_code == 400


def test_bytes_that_were_dropped_are_told(client, monkeypatch):
    """A stream keeps its newest bytes; the others are a 400 that says which are there."""
    monkeypatch.setattr(conversations, "MAX_BYTES", 1000)
    client.post(CHAT, json=HI, headers=NAMED)
    [status] = look_up(client, "conv/1")
    answer = read_on(client, 0)
    assert answer.status_code == 400
    dropped, total = map(int, re.findall(r"\d+", answer.json()["error"]["message"])[1:])
    assert total == status["total_bytes"]
    assert total - 1000 <= dropped < total
    rest = read_on(client, dropped).content
    assert len(rest) == total - dropped
    assert rest.endswith(b"data: [DONE]\n\n")


def test_others_find_nothing(make_client):
    """Another key can neither read, nor see, nor stop a stream."""
    client = make_client(api_keys=("mine", "yours"), headers={"Authorization": "Bearer mine"})
    whole = client.post(CHAT, json=HI, headers=NAMED).content
    other = {"headers": {"Authorization": "Bearer yours"}}
    assert read_on(client, **other).status_code == 404
    assert look_up(client, "conv/1", **other) == []
    assert client.delete("/v1/stream?conv_id=conv/1", **other).status_code == 204
    assert read_on(client).content == whole


@pytest.fixture
def held():
    """A client of a live server whose engine stops after three pieces; and the engine."""
    engine = FakeAsyncEngine(gate=Gate(), free_pieces=3)
    with (
        live_server(engine, sse_keep_alive_interval=0.2) as url,
        httpx2.Client(base_url=url, timeout=20) as client,
    ):
        yield client, engine


def test_a_stream_goes_on_without_its_client(held):
    """What was read before and what is read after are the whole stream, pings included."""
    client, engine = held
    before = b""
    with client.stream("POST", CHAT, json=HI, headers=NAMED) as answer:
        for piece in answer.iter_raw():
            before += piece
            if b": ping" in before:
                break
    assert engine.aborted == []
    [status] = look_up(client, "conv/1")
    assert not status["is_done"]
    assert status["completed_at"] == 0
    engine.gate.open()
    after = read_on(client, len(before)).content
    assert after.endswith(b"data: [DONE]\n\n")
    assert read_on(client).content == before + after


def test_a_stream_can_be_stopped(held):
    """DELETE stops the engine's work and forgets the bytes; again, it does nothing."""
    client, engine = held
    with client.stream("POST", CHAT, json=HI, headers=NAMED) as answer:
        next(answer.iter_raw())
    for _ in range(2):
        assert client.delete("/v1/stream", params={"conv_id": "conv/1"}).status_code == 204
    assert len(engine.aborted) == 1
    assert read_on(client).status_code == 404


def test_a_conversation_has_one_stream(held):
    """A new one of the same name stops the one before."""
    client, engine = held
    for number in range(2):
        with client.stream("POST", CHAT, json=HI, headers=NAMED) as answer:
            next(answer.iter_raw())
        assert len(engine.aborted) == number
    engine.gate.open()
    assert read_on(client).content.endswith(b"data: [DONE]\n\n")


def test_a_reader_that_is_too_slow_comes_to_its_end():
    """Its next frame is gone, so it is told no wrong ones."""
    from longreach.serve.detached import Recording

    async def scenario():
        recording = Recording(max_bytes=4)
        recording.add(b"ab")
        reader = recording.follow_bytes(0)
        first = await anext(reader)
        for frame in (b"cd", b"ef", b"gh"):
            recording.add(frame)
        return first, [frame async for frame in reader], recording.dropped_bytes

    assert asyncio.run(scenario()) == (b"ab", [], 4)


def test_time_is_up_for_streams_that_have_ended():
    """A stream that runs is never over."""
    stream = conversations.ConversationStream("me", None)
    assert not stream.is_over()
    stream.completed_at = time.time() - conversations.KEEP_S - 1
    assert stream.is_over()


def test_a_new_stream_sweeps_out_the_old_ones(client):
    """What has ended and is never asked for again is not kept for ever."""
    client.post(CHAT, json=HI, headers={"X-Conversation-Id": "old"})
    [stream] = client.app.state.context.conversations.values()
    stream.completed_at = time.time() - conversations.KEEP_S - 1
    client.post(CHAT, json=HI, headers={"X-Conversation-Id": "new"})
    assert [name for _, name in client.app.state.context.conversations] == ["new"]
