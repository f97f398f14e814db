"""Responses that are kept: read, continued, listed, cancelled, deleted, by their owner alone."""

import time

import pytest

from longreach.serve.store import ObjectStore
from support.fake_async_engine import FakeAsyncEngine, qwen_template
from support.serving import Gate, live_server

URL = "/v1/responses"
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'


def make(client, **body):
    answer = client.post(URL, json={"input": "hi", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait_for(client, response_id, *statuses):
    """The response once its status is one of these."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        response = client.get(f"{URL}/{response_id}").json()
        if response["status"] in statuses:
            return response
        time.sleep(0.01)
    raise AssertionError(response["status"])


def text_of(engine):
    ids = engine.requests[-1].prompt_token_ids
    return engine.tokenizer.decode(ids, skip_special_tokens=False)


def test_a_response_is_kept_unless_asked_not_to_be(client):
    """GET gives what POST gave; store: false leaves nothing."""
    kept = make(client)
    assert client.get(f"{URL}/{kept['id']}").json() == kept
    forgotten = make(client, store=False)
    answer = client.get(f"{URL}/{forgotten['id']}")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_streamed_response_is_kept_before_its_last_event(client):
    """Whoever has read the end can go on from it."""
    answer = client.post(URL, json={"input": "hi", "stream": True})
    response_id = answer.text.split('"id":"', 1)[1].split('"', 1)[0]
    assert client.get(f"{URL}/{response_id}").json()["status"] == "completed"


def test_deleted_is_gone(client):
    """DELETE says so, and then there is nothing."""
    response_id = make(client)["id"]
    answer = client.delete(f"{URL}/{response_id}").json()
    assert answer == {"id": response_id, "object": "response", "deleted": True}
    assert client.delete(f"{URL}/{response_id}").status_code == 404
    assert client.get(f"{URL}/{response_id}").status_code == 404


def test_a_conversation_goes_on_where_it_was(engine, client):
    """The prompt of a continuation begins with the prompt and the answer before it."""
    first = make(client, input="What is it?")
    before = text_of(engine)
    second = make(client, input="Again?", previous_response_id=first["id"])
    middle = text_of(engine)
    make(client, input="And again?", previous_response_id=second["id"])
    assert middle.startswith(before + "The pass key is 28884.")
    assert text_of(engine).startswith(middle + "The pass key is 28884.")
    assert second["previous_response_id"] == first["id"]


def test_instructions_are_not_carried_over(engine, client):
    """Only the items are; the next response has its own instructions or none."""
    first = make(client, instructions="SPEAK LOUDLY")
    make(client, previous_response_id=first["id"])
    assert "SPEAK LOUDLY" not in text_of(engine)


def test_a_call_is_continued_by_its_output(make_client):
    """The call that was made is history, as the model wrote it; its output follows."""
    engine = FakeAsyncEngine("I look.\n" + CALL, chat_template=qwen_template())
    client = make_client(engine)
    first = make(client, tools=[WEATHER])
    before = text_of(engine)
    call = first["output"][-1]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    make(client, input=[output], previous_response_id=first["id"], tools=[WEATHER])
    # Qwen's template sets a newline between the role and a content that has calls.
    assert CALL in text_of(engine)
    assert text_of(engine).startswith(before.rstrip("\n"))
    assert text_of(engine).index(CALL) < text_of(engine).index("sunny")


def test_what_cannot_be_continued(client, make_client):
    """An unknown response is 404, also when one further up the chain is gone."""
    missing = {"input": "x", "previous_response_id": "resp_none"}
    answer = client.post(URL, json=missing)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "previous_response_not_found"
    assert error["param"] == "previous_response_id"
    first = make(client)
    second = make(client, previous_response_id=first["id"])
    client.delete(f"{URL}/{first['id']}")
    answer = client.post(URL, json={"input": "x", "previous_response_id": second["id"]})
    assert answer.status_code == 404


def test_input_items_come_in_pages(client):
    """Newest first unless asked otherwise, with ids to go on from."""
    turns = [{"role": "user", "content": f"turn {number}"} for number in range(5)]
    response_id = make(client, input=turns)["id"]

    def page(**query):
        return client.get(f"{URL}/{response_id}/input_items", params=query).json()

    whole = page(order="asc")
    texts = [item["content"][0]["text"] for item in whole["data"]]
    assert texts == [f"turn {number}" for number in range(5)]
    assert whole["object"] == "list"
    assert not whole["has_more"]
    assert page()["data"] == whole["data"][::-1]
    first = page(limit=2)
    assert first["has_more"]
    assert (first["first_id"], first["last_id"]) == tuple(item["id"] for item in first["data"])
    rest = page(limit=100, after=first["last_id"])
    assert first["data"] + rest["data"] == whole["data"][::-1]
    assert client.get(f"{URL}/{response_id}/input_items?after=x").status_code == 400
    assert client.get(f"{URL}/{response_id}/input_items?limit=101").status_code == 400


def test_others_find_nothing(make_client):
    """With two keys, every route over an id answers 404 to the one who does not own it."""
    client = make_client(api_keys=("mine", "yours"), headers={"Authorization": "Bearer mine"})
    response_id = make(client, background=True)["id"]
    wait_for(client, response_id, "completed")
    other = {"Authorization": "Bearer yours"}
    url = f"{URL}/{response_id}"
    assert client.get(url, headers=other).status_code == 404
    assert client.get(url + "?stream=true", headers=other).status_code == 404
    assert client.get(url + "/input_items", headers=other).status_code == 404
    assert client.post(url + "/cancel", headers=other).status_code == 404
    assert client.delete(url, headers=other).status_code == 404
    body = {"input": "x", "previous_response_id": response_id}
    assert client.post(URL, json=body, headers=other).status_code == 404
    assert client.post(URL + "/input_tokens", json=body, headers=other).status_code == 404
    assert client.get(url).status_code == 200


def test_a_background_response_is_made_without_its_client(client):
    """It is queued at once, and completed later."""
    queued = make(client, background=True)
    assert queued["status"] == "queued"
    assert queued["output"] == []
    done = wait_for(client, queued["id"], "completed")
    assert done["output"][0]["content"][0]["text"] == "The pass key is 28884."
    assert done["background"] is True


@pytest.fixture
def held():
    """A client of a live server whose engine stops after three pieces; and the engine."""
    import httpx2 as httpx

    engine = FakeAsyncEngine(gate=Gate(), free_pieces=3)
    with live_server(engine) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client, engine


def test_a_background_response_can_be_cancelled(held):
    """cancel stops the engine's work; the response is kept as cancelled, whatever comes later."""
    client, engine = held
    response_id = make(client, background=True)["id"]
    wait_for(client, response_id, "in_progress")
    cancelled = client.post(f"{URL}/{response_id}/cancel").json()
    assert cancelled["status"] == "cancelled"
    assert engine.aborted == [response_id]
    assert client.get(f"{URL}/{response_id}").json() == cancelled
    assert client.post(f"{URL}/{response_id}/cancel").json() == cancelled


def test_deleting_stops_the_work(held):
    """Nobody could read it any more."""
    client, engine = held
    response_id = make(client, background=True)["id"]
    wait_for(client, response_id, "in_progress")
    assert client.delete(f"{URL}/{response_id}").status_code == 200
    assert engine.aborted == [response_id]
    assert client.get(f"{URL}/{response_id}").status_code == 404


def test_an_unfinished_response_cannot_be_continued(held):
    """400: it has no output yet."""
    client, _ = held
    response_id = make(client, background=True)["id"]
    answer = client.post(URL, json={"input": "x", "previous_response_id": response_id})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "previous_response_id"


def test_only_background_responses_are_cancelled(client):
    """400 for others, as they end with their connection."""
    answer = client.post(f"{URL}/{make(client)['id']}/cancel")
    assert answer.status_code == 400
    assert client.post(f"{URL}/resp_none/cancel").status_code == 404


def test_a_background_stream_can_be_left_and_taken_up_again(held):
    """Leaving stops nothing; starting_after goes on with the next event, to the last one."""
    client, engine = held
    with client.stream("POST", URL, json={"input": "hi", "background": True, "stream": True}) as s:
        lines = s.iter_lines()
        seen = [line for line, _ in zip(lines, range(6), strict=False)]
    assert seen[0] == "event: response.created"
    response_id = seen[1].split('"id":"', 1)[1].split('"', 1)[0]
    assert engine.aborted == []
    engine.gate.open()
    url = f"{URL}/{response_id}?stream=true"
    rest = client.get(url + "&starting_after=1").text
    whole = client.get(url).text
    assert whole.endswith(rest)
    assert rest.count("event: ") == whole.count("event: ") - 2
    assert "event: response.completed" in rest
    wait_for(client, response_id, "completed")
    assert client.get(url).text == whole


def test_what_was_not_recorded_cannot_be_streamed(client):
    """Only background responses are; and starting_after is of a stream."""
    response_id = make(client)["id"]
    assert client.get(f"{URL}/{response_id}?stream=true").status_code == 400
    assert client.get(f"{URL}/{response_id}?starting_after=1").status_code == 400


def test_responses_outlive_the_server(make_client, tmp_path):
    """Another server on the same directory knows them; what was unfinished has failed."""
    kept = make(make_client(state_dir=tmp_path))
    restarted = make_client(state_dir=tmp_path)
    assert restarted.get(f"{URL}/{kept['id']}").json() == kept
    store = ObjectStore(tmp_path / "responses.db", ttl_s=60)
    data = store.get("response", kept["id"], "everyone")
    store.put("response", "resp_1", "everyone", data.replace(b'"completed"', b'"queued"', 1))
    store.close()
    orphan = restarted.get(f"{URL}/resp_1").json()
    assert orphan["status"] == "failed"
    assert orphan["error"]["code"] == "server_error"
    assert make(restarted, previous_response_id=kept["id"])["status"] == "completed"
