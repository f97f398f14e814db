"""Chat completions as server-sent events, to the byte."""

import asyncio
import json

import pytest

from longreach.errors import MemoryPlanError
from longreach.serve.sse import PING, EventStream
from support.fake_async_engine import FakeAsyncEngine

URL = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
CALLS = (
    'Look: <tool_call>\n{"name": "f", "arguments": {"a": "é<"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
)


def stream(client, **body):
    response = client.post(URL, json={"messages": HI, "stream": True, **body})
    assert response.status_code == 200, response.text
    return response


def chunks(client, **body):
    """The JSON of each data line; [DONE] must be the last."""
    frames = stream(client, **body).text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


def deltas(found, index=0):
    """The deltas of one choice."""
    choices = [choice for chunk in found for choice in chunk["choices"]]
    return [choice["delta"] for choice in choices if choice["index"] == index]


def test_the_headers_of_a_stream(client):
    """Nothing between us and the client may keep or gather it."""
    headers = stream(client).headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert "content-length" not in headers


def test_frames_to_the_byte(client):
    """`data: {json}` and an empty line, compact UTF-8, then [DONE]."""
    body = stream(client, max_tokens=1).content
    frames = body.split(b"\n\n")
    assert frames.pop() == b""
    assert frames.pop() == b"data: [DONE]"
    assert all(frame.startswith(b'data: {"id":"chatcmpl-') for frame in frames)
    assert b"\r" not in body
    assert b": " not in body.replace(b"data: ", b"")


def test_the_order_of_chunks(client):
    """The role first, then text, then the finish with an empty delta; one id for all."""
    found = chunks(client)
    first, *middle, last = found
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(d["content"] for d in deltas(middle)) == "The pass key is 28884."
    assert all(choice["finish_reason"] is None for c in found[:-1] for choice in c["choices"])
    assert all("role" not in delta for delta in deltas(found[1:]))
    assert last["choices"][0]["delta"] == {}
    assert last["choices"][0]["finish_reason"] == "stop"
    for name in ("id", "created", "model", "object", "system_fingerprint"):
        assert len({chunk[name] for chunk in found}) == 1
    assert all(len(chunk["choices"]) == 1 for chunk in found)
    assert not any("usage" in chunk for chunk in found)


def test_the_last_chunk_tells_what_it_took(client):
    """timings and longreach come once, with the last chunk."""
    for options in ({}, {"stream_options": {"include_usage": True}}):
        *others, last = chunks(client, **options)
        assert last["timings"]["predicted_n"] == 12
        assert last["longreach"]["density"] == 0.25
        assert not any("timings" in chunk for chunk in others)


def test_usage_has_a_chunk_of_its_own(client):
    """With include_usage: null in all others, and choices [] where it is."""
    *others, last = chunks(client, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 12


def test_progress_is_llamas(make_client):
    """The first has processed == cache, the last processed == total; only when asked for."""
    client = make_client(FakeAsyncEngine(steps=3, num_cached=10))
    found = chunks(client, return_progress=True)
    progress = [chunk["prompt_progress"] for chunk in found if "prompt_progress" in chunk]
    assert len(progress) == 3
    assert all(set(p) == {"total", "cache", "processed", "time_ms", "eta_ms"} for p in progress)
    assert progress[0]["processed"] == progress[0]["cache"] == 10
    assert progress[-1]["processed"] == progress[-1]["total"]
    assert progress[0]["eta_ms"] is None
    assert all(chunk["choices"] == [] for chunk in found if "prompt_progress" in chunk)
    assert not any("prompt_progress" in chunk for chunk in chunks(client))


def test_several_answers_are_told_apart(make_client):
    """Each choice has its role, its text and its finish."""
    client = make_client(FakeAsyncEngine(script=lambda request, index: "ab"[index] * 3))
    found = chunks(client, n=2)
    for index, text in enumerate(("aaa", "bbb")):
        first, *middle, last = deltas(found, index)
        assert first["role"] == "assistant"
        assert "".join(delta["content"] for delta in middle) == text
        assert last == {}
    finishes = [c["choices"][0]["finish_reason"] for c in found]
    assert finishes.count("stop") == 2
    assert "timings" in found[-1]


def test_half_characters_are_held_back(make_client):
    """Every chunk is whole text, whatever tokens it was made of."""
    client = make_client(FakeAsyncEngine(script="né 你好 👋🏽!"))
    texts = [delta["content"] for delta in deltas(chunks(client)) if "content" in delta]
    assert "".join(texts) == "né 你好 👋🏽!"
    assert not any("\ufffd" in text for text in texts)


def test_stop_strings_are_never_seen(client):
    """Neither the stop nor its beginning is sent."""
    found = chunks(client, stop=[" is 2888"])
    assert "".join(d.get("content", "") for d in deltas(found)) == "The pass key"
    assert found[-1]["choices"][0]["stop_reason"] == " is 2888"


def test_tool_deltas(make_client):
    """First id, type, name and no arguments; then arguments alone; no tag is ever content."""
    found = chunks(make_client(FakeAsyncEngine(script=CALLS)), tools=[TOOL])
    calls = [d["tool_calls"][0] for d in deltas(found) if "tool_calls" in d]
    for index, arguments in ((0, '{"a": "é<"}'), (1, "{}")):
        first, *rest = [call for call in calls if call["index"] == index]
        assert first["id"].startswith("call_")
        assert first["type"] == "function"
        assert first["function"] == {"name": "f", "arguments": ""}
        assert all(set(call) == {"index", "function"} for call in rest)
        assert all(set(call["function"]) == {"arguments"} for call in rest)
        assert "".join(call["function"]["arguments"] for call in rest) == arguments
    assert len({call["id"] for call in calls if "id" in call}) == 2
    assert "".join(d.get("content", "") for d in deltas(found)) == "Look:"
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "forced",
    [
        {"tools": [TOOL], "tool_choice": "required"},
        {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
    ],
)
def test_deltas_of_a_forced_call_that_was_cut_off(make_client, forced):
    """The last chunk says length; before it came arguments, or nothing, but no markup."""
    client = make_client(FakeAsyncEngine(script=CALLS.removeprefix("Look: ")))
    for max_tokens in range(1, 20):
        found = chunks(client, max_tokens=max_tokens, **forced)
        assert found[-1]["choices"][0]["finish_reason"] == "length"
        assert not any(delta.get("content") for delta in deltas(found))


def test_legacy_function_deltas(make_client):
    """function_call, by name first."""
    client = make_client(FakeAsyncEngine(script=CALLS))
    found = chunks(client, functions=[{"name": "f"}])
    calls = [d["function_call"] for d in deltas(found) if "function_call" in d]
    assert calls[0] == {"name": "f", "arguments": ""}
    assert "".join(call["arguments"] for call in calls) == '{"a": "é<"}'
    assert found[-1]["choices"][0]["finish_reason"] == "function_call"


def test_logprobs_come_with_their_text(make_client):
    """Every token is told once, though several of them may make one piece of text."""
    client = make_client(FakeAsyncEngine(script="né 你好"))
    found = chunks(client, logprobs=True, top_logprobs=1)
    told = [c["choices"][0]["logprobs"] for c in found if c["choices"][0]["logprobs"]]
    data = [byte for entry in told for token in entry["content"] for byte in token["bytes"]]
    assert bytes(data).decode().startswith("né 你好")
    assert sum(len(entry["content"]) for entry in told) == found[-1]["timings"]["predicted_n"]


def test_an_error_after_the_beginning_is_a_frame(make_client):
    """OpenAI's SDKs raise on it; the stream ends without [DONE]."""
    engine = FakeAsyncEngine(fail_after=(2, MemoryPlanError(2, 1, {})))
    body = stream(make_client(engine)).content
    *_, last, empty = body.split(b"\n\n")
    assert empty == b""
    error = json.loads(last.removeprefix(b"data: "))["error"]
    assert error["code"] == "kv_capacity_exceeded"
    assert set(error) == {"message", "type", "param", "code"}
    assert b"[DONE]" not in body


def test_a_bug_after_the_beginning_is_a_frame_without_its_trace(make_client, caplog):
    """The log has it."""
    engine = FakeAsyncEngine(fail_after=(2, ZeroDivisionError("/home/secret")))
    body = stream(make_client(engine)).text
    assert '"code":"internal_error"' in body
    assert "secret" not in body
    assert "secret" in caplog.text


def sent_by(frames, **options):
    """What a client that stays gets of these frames, as (body, more_body)."""
    sent = []

    async def stay():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def closed():
        sent.append({"closed": True})

    async def run():
        stream = EventStream(frames, close=closed, **options)
        await asyncio.wait_for(stream({"type": "http"}, stay, send), 10)

    asyncio.run(run())
    assert sent.pop() == {"closed": True}
    return [message["body"] for message in sent if "body" in message]


async def slow():
    yield b"a"
    await asyncio.sleep(0.05)
    yield b"b"


def test_silence_is_filled_with_pings():
    """A ping after each interval without a frame, and no frame is lost."""
    found = sent_by(slow(), interval_s=0.01)
    assert PING == b": ping\n\n"
    assert [frame for frame in found if frame != PING] == [b"a", b"b", b""]
    assert found[1] == PING


def test_no_pings_when_the_interval_is_zero():
    """0 switches them off."""
    assert sent_by(slow(), interval_s=0) == [b"a", b"b", b""]
