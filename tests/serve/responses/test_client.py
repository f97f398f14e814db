"""The official client against a server on a real socket."""

import json

import openai
import pytest
from pydantic import BaseModel

from support.fake_async_engine import FakeAsyncEngine
from support.serving import Gate, live_server

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def script(request, index):
    """JSON where a form is asked for, a call where tools are shown, else a sentence."""
    params = request.params
    if params.structured_outputs is not None and params.structured_outputs.json:
        return json.dumps({"key": 28884, "place": "grass"})
    engine = FakeAsyncEngine()
    text = engine.tokenizer.decode(request.prompt_token_ids)
    return CALL if "call it" in text and "sunny" not in text else "The pass key is 28884."


@pytest.fixture(scope="module")
def url():
    with live_server(FakeAsyncEngine(script)) as url:
        yield url


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def test_create(client):
    """create gives a Response with its text and usage."""
    response = client.responses.create(model="needle", input="What is the key?")
    assert response.output_text == "The pass key is 28884."
    assert response.status == "completed"
    assert response.usage.input_tokens_details.cached_tokens == 0


def test_stream_events(client):
    """create(stream=True) gives typed events to the last one."""
    events = list(client.responses.create(model="needle", input="hi", stream=True))
    assert [type(event).__name__ for event in (events[0], events[-1])] == [
        "ResponseCreatedEvent",
        "ResponseCompletedEvent",
    ]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == "The pass key is 28884."


def test_stream_helper(client):
    """stream() accumulates the events to the final response."""
    with client.responses.stream(model="needle", input="hi") as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.output_text.done" in kinds
    assert final.output_text == "The pass key is 28884."


class Found(BaseModel):
    key: int
    place: str


def test_parse(client):
    """parse() sends the schema and reads the answer into the model."""
    response = client.responses.parse(model="needle", input="hi", text_format=Found)
    assert response.output_parsed == Found(key=28884, place="grass")
    with client.responses.stream(model="needle", input="hi", text_format=Found) as stream:
        final = stream.get_final_response()
    assert final.output_parsed == Found(key=28884, place="grass")


def test_a_round_with_a_tool(client):
    """The call, its output sent back by items, and the answer."""
    items = [{"role": "user", "content": "call it"}]
    response = client.responses.create(model="needle", input=items, tools=[WEATHER])
    [call] = response.output
    assert (call.type, call.name, json.loads(call.arguments)) == (
        "function_call",
        "weather",
        {"city": "Köln"},
    )
    items += response.output
    items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    response = client.responses.create(model="needle", input=items, tools=[WEATHER])
    assert response.output_text == "The pass key is 28884."


def test_a_streamed_call(client):
    """The helper puts the arguments together."""
    with client.responses.stream(model="needle", input="call it", tools=[WEATHER]) as stream:
        deltas = [e.delta for e in stream if e.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output[0].arguments == '{"city": "Köln"}'


def test_the_life_of_a_background_response(client):
    """create, retrieve, stream again, list its items, cancel (too late), delete."""
    response = client.responses.create(model="needle", input="hi", background=True)
    assert response.status == "queued"
    events = list(client.responses.retrieve(response.id, stream=True))
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert events[-1].type == "response.completed"
    later = list(client.responses.retrieve(response.id, stream=True, starting_after=4))
    assert [event.sequence_number for event in later] == list(range(5, len(events)))
    assert client.responses.retrieve(response.id).output_text == "The pass key is 28884."
    items = client.responses.input_items.list(response.id)
    assert [item.content[0].text for item in items] == ["hi"]
    assert client.responses.cancel(response.id).status == "completed"
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_tokens_are_counted(client):
    """responses.input_tokens.count."""
    counted = client.responses.input_tokens.count(model="needle", input="hello")
    assert counted.input_tokens > 1


def test_errors_have_their_classes(client):
    """A bad field and an unknown model are what the client calls them."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="needle", input="hi", temperature=9)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="other", input="hi")
    assert caught.value.code == "model_not_found"


def test_a_client_that_leaves_stops_its_stream():
    """The engine is told; a background response would go on."""
    engine = FakeAsyncEngine(gate=Gate(), free_pieces=2)
    with (
        live_server(engine) as url,
        openai.OpenAI(base_url=url + "/v1", api_key="none") as client,
    ):
        stream = client.responses.create(model="needle", input="hi", stream=True)
        first = next(iter(stream))
        stream.close()
        wait_until(lambda: engine.aborted)
    assert engine.aborted == [first.response.id]


def wait_until(condition):
    import time

    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
