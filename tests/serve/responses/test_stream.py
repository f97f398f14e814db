"""Responses as named server-sent events."""

import json

import pytest

from support.fake_async_engine import FakeAsyncEngine, thinking_template

URL = "/v1/responses"
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'


def stream(client, **body):
    """The events of a stream, after checks of its bytes."""
    answer = client.post(URL, json={"input": "hi", "stream": True, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = []
    *frames, rest = answer.content.split(b"\n\n")
    assert rest == b""
    for frame in frames:
        name, data = frame.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        events.append(event)
    return events


def kinds(events):
    """The types in order, a run of equal ones once."""
    names = [event["type"].removeprefix("response.") for event in events]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]


def test_a_text_is_told_in_the_official_order(client):
    """created ... completed, numbered from 0, without [DONE]; the deltas are the text."""
    events = stream(client)
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    assert text == "The pass key is 28884."
    done = next(e for e in events if e["type"] == "response.output_text.done")
    assert done["text"] == text
    added = next(e for e in events if e["type"] == "response.output_item.added")
    assert added["item"]["content"] == []
    assert added["item"]["status"] == "in_progress"


def test_the_first_event_has_no_output_and_the_last_one_all(client):
    """created carries the empty response, completed what a request without a stream gets."""
    events = stream(client)
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["output"] == []
    assert events[0]["response"]["usage"] is None
    last = events[-1]["response"]
    whole = client.post(URL, json={"input": "hi"}).json()
    for changing in ("id", "created_at", "completed_at"):
        last.pop(changing), whole.pop(changing)
    assert last["output"][0].pop("id") != whole["output"][0].pop("id")
    assert last == whole


def test_calls_are_told_by_their_arguments(make_client):
    """A call's item, its arguments in pieces, and its end; the next one has the next index."""
    engine = FakeAsyncEngine("I look.\n" + CALL + "\n" + CALL)
    events = stream(make_client(engine), tools=[WEATHER])
    call = [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert kinds(events)[-9:] == [*call, *call, "completed"]
    for index in (1, 2):
        own = [event for event in events if event.get("output_index") == index]
        deltas = "".join(e["delta"] for e in own if e["type"].endswith("delta"))
        assert deltas == own[-1]["item"]["arguments"] == '{"city": "Köln"}'
        assert own[0]["item"]["arguments"] == ""
        assert {e["item_id"] for e in own if "item_id" in e} == {own[0]["item"]["id"]}


def test_reasoning_is_told_before_the_text(make_client):
    """A reasoning item has its own part, deltas and end."""
    engine = FakeAsyncEngine("hm\n</think>\n\nYes.", chat_template=thinking_template())
    events = stream(make_client(engine))
    assert kinds(events)[2:8] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
    ]
    done = next(e for e in events if e["type"] == "response.reasoning_text.done")
    assert done["text"] == "hm"


def test_a_cut_stream_ends_as_incomplete(client):
    """The last event is response.incomplete with its reason."""
    last = stream(client, max_output_tokens=2)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_failure_in_the_middle_is_the_last_event(make_client):
    """response.failed carries the error, and what was written until then."""
    engine = FakeAsyncEngine(fail_after=(3, RuntimeError("secret")))
    last = stream(make_client(engine))[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"]["code"] == "server_error"
    assert "secret" not in json.dumps(last)
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_what_fails_at_once_has_its_own_status(make_client):
    """Nothing has happened yet, so it is no stream."""
    client = make_client(FakeAsyncEngine(fail_after=(0, RuntimeError("x")), steps=0))
    answer = client.post(URL, json={"input": "hi", "stream": True})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"


@pytest.mark.parametrize("top", [0, 2])
def test_deltas_carry_the_tokens_since_the_last_one(client, top):
    """All deltas together tell each token of the answer once, as the done event does."""
    events = stream(client, include=["message.output_text.logprobs"], top_logprobs=top)
    deltas = [e for e in events if e["type"] == "response.output_text.delta"]
    told = [entry for event in deltas for entry in event["logprobs"]]
    done = next(e for e in events if e["type"] == "response.output_text.done")
    assert told == done["logprobs"]
    assert all(len(entry["top_logprobs"]) == top for entry in told)
    assert "bytes" not in told[0]
    [part] = events[-1]["response"]["output"][0]["content"]
    assert len(part["logprobs"]) == len(told)
    assert part["logprobs"][0]["bytes"]
