"""The official client on embeddings, files and batches, over a real socket."""

import io
import json
import time

import openai
import pytest

from support.fake_async_engine import FakeAsyncEngine
from support.serving import serving

DEADLINE_S = 30


@pytest.fixture(scope="module")
def server():
    with serving(FakeAsyncEngine, api_keys=("secret", "other")) as server:
        server.wait_until_ready()
        yield server


def client_with(server, key):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


@pytest.fixture
def client(server):
    return client_with(server, "secret")


def test_embeddings(client):
    """The client reads the same vectors as base64 (its own choice) and as numbers."""
    packed = client.embeddings.create(model="needle", input=["a b", "c"])
    plain = client.embeddings.create(model="needle", input=["a b", "c"], encoding_format="float")
    assert len(packed.data) == 2
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)
    assert packed.usage.total_tokens == packed.usage.prompt_tokens > 0


def test_too_many_dimensions(client):
    """A wrong request is the client's BadRequestError, with the field."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="needle", input="a", dimensions=10**6)
    assert caught.value.param == "dimensions"


def test_files(client, server):
    """Upload, look at, list over pages, read and delete; another key sees nothing."""
    expiry = {"anchor": "created_at", "seconds": 7200}
    made = [
        client.files.create(file=(f"{n}.txt", b"text"), purpose="user_data", expires_after=expiry)
        for n in range(3)
    ]
    assert made[0].expires_at - made[0].created_at == 7200
    assert client.files.retrieve(made[0].id) == made[0]
    listed = client.files.list(purpose="user_data", limit=2, order="asc")
    assert [file.id for file in listed] == [file.id for file in made]
    assert client.files.content(made[0].id).read() == b"text"
    with pytest.raises(openai.NotFoundError):
        client_with(server, "other").files.content(made[0].id)
    assert client.files.delete(made[0].id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made[0].id)


def test_a_batch(client):
    """Upload requests, start, poll, and read the answers."""
    lines = [
        {
            "custom_id": f"q{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "needle", "messages": [{"role": "user", "content": f"{n}"}]},
        }
        for n in range(4)
    ]
    content = io.BytesIO("\n".join(map(json.dumps, lines)).encode())
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"run": "1"},
    )
    end = time.monotonic() + DEADLINE_S
    while batch.status != "completed":
        assert time.monotonic() < end, batch
        time.sleep(0.02)
        batch = client.batches.retrieve(batch.id)
    assert (batch.request_counts.completed, batch.request_counts.total) == (4, 4)
    assert batch.metadata == {"run": "1"}
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).iter_lines()]
    assert {answer["custom_id"] for answer in answers} == {"q0", "q1", "q2", "q3"}
    assert batch.id in [each.id for each in client.batches.list(limit=1)]


def test_cancelling_what_is_over(client):
    """The client's ConflictError."""
    file = client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
    )
    end = time.monotonic() + DEADLINE_S
    while batch.status != "failed":
        assert time.monotonic() < end, batch
        time.sleep(0.02)
        batch = client.batches.retrieve(batch.id)
    assert batch.errors.data[0].line == 1
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)
