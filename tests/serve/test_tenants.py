"""Two keys on one server: what one of them made is not there for the other, on any route."""

import asyncio
import json
import time

import pytest
from fastapi.routing import APIRoute

from longreach.serve.auth import KeyRing
from support.fake_async_engine import FakeAsyncEngine
from support.small_pdf import small_pdf

MINE, YOURS = "my-key", "your-key"
CHAT = {"messages": [{"role": "user", "content": "hi"}]}
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}


@pytest.fixture
def engine():
    return FakeAsyncEngine()


@pytest.fixture
def client(make_client, engine):
    return make_client(engine, api_keys=(MINE, YOURS))


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def ask(client, key, method, path, **options):
    headers = bearer(key) | options.pop("headers", {})
    return client.request(method, path, headers=headers, **options)


def make_all(client):
    """One thing of every kind, mine: its id by the name of the path's parameter."""
    response = ask(client, MINE, "POST", "/v1/responses", json={"input": "hi", "background": True})
    lines = {"file": ("in.jsonl", json.dumps(LINE).encode())}
    file = ask(client, MINE, "POST", "/v1/files", files=lines, data={"purpose": "batch"})
    body = {"input_file_id": file.json()["id"], "endpoint": LINE["url"]}
    batch = ask(client, MINE, "POST", "/v1/batches", json={**body, "completion_window": "24h"})
    pages = {"file": ("a.pdf", small_pdf("The pass key is 28884.", "No more."))}
    book = ask(client, MINE, "POST", "/v1/files", files=pages, data={"purpose": "user_data"})
    return {
        "response_id": response.json()["id"],
        "file_id": file.json()["id"],
        "batch_id": batch.json()["id"],
        "document_id": book.json()["id"],
        "number": 2,
    }


def id_routes(app):
    """(method, path) of every route with an id in it, found by walking the router."""

    def walk(routes):
        for route in routes:
            if isinstance(route, APIRoute):
                yield from ((method, route.path) for method in route.methods)
            else:
                yield from walk(getattr(route, "routes", ()) or ())

    paths = app.openapi()["paths"]
    described = {(method.upper(), path) for path, each in paths.items() for method in each}
    found = described | set(walk(app.routes))
    belongs_to_nobody = ("{name", "{slot}")
    return sorted(
        (m, p) for m, p in found if "{" in p and not any(b in p for b in belongs_to_nobody)
    )


def test_every_id_route_knows_its_owner_alone(client):
    """404 to the other key, of the very thing that its owner then gets."""
    made = make_all(client)
    walked = id_routes(client.app)
    assert len(walked) >= 9
    for method, path in sorted(walked, key=lambda each: each[0] == "DELETE"):
        filled = path.format(**made)
        body = {"json": {}} if method == "POST" else {}
        refused = ask(client, YOURS, method, filled, **body)
        assert refused.status_code == 404, (method, path)
        assert set(refused.json()["error"]) >= {"message", "type", "param", "code"}
        found = ask(client, MINE, method, filled, **body)
        assert found.status_code in (200, 409), (method, path)  # 409: it has ended before


def test_lists_hold_ones_own(client):
    """Files, documents and batches of the other key are not in them."""
    make_all(client)
    for path in ("/v1/files", "/v1/documents", "/v1/batches"):
        assert ask(client, YOURS, "GET", path).json()["data"] == []
        assert ask(client, MINE, "GET", path).json()["data"]


def bodies_with_a_file(file_id):
    """(path, body) of every route that reads files of a conversation."""
    part = {"type": "file", "file": {"file_id": file_id}}
    chat = {"messages": [{"role": "user", "content": [part]}]}
    item = {"role": "user", "content": [{"type": "input_file", "file_id": file_id}]}
    block = {"type": "document", "source": {"type": "file", "file_id": file_id}}
    message = {"model": "needle", "messages": [{"role": "user", "content": [block]}]}
    for path in ("chat/completions", "chat/completions/input_tokens", "estimate"):
        yield f"/v1/{path}", chat
    for path in ("/tokenize", "/apply-template"):
        yield path, chat
    for path in ("responses", "responses/input_tokens"):
        yield f"/v1/{path}", {"input": [item]}
    yield "/v1/messages", {**message, "max_tokens": 9}
    yield "/v1/messages/count_tokens", message


def test_ids_in_bodies_are_checked_too(client):
    """A conversation cannot be continued, nor a file be run, by who does not own it."""
    made = make_all(client)
    body = {"input": "and?", "previous_response_id": made["response_id"]}
    for path in ("/v1/responses", "/v1/responses/input_tokens"):
        assert ask(client, YOURS, "POST", path, json=body).status_code == 404
    for path, body in bodies_with_a_file(made["document_id"]):
        assert ask(client, YOURS, "POST", path, json=body).status_code == 404, path
        assert ask(client, MINE, "POST", path, json=body).status_code == 200, path
    batch = {"input_file_id": made["file_id"], "endpoint": LINE["url"], "completion_window": "24h"}
    refused = ask(client, YOURS, "POST", "/v1/batches", json=batch)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "input_file_id"


def test_streams_are_their_keys(client):
    """The same name of a conversation means another one to another key."""
    headers = {"X-Conversation-Id": "talk"}
    body = {**CHAT, "stream": True}
    said = ask(client, MINE, "POST", "/v1/chat/completions", json=body, headers=headers).text
    where = "/v1/stream?conv_id=talk&from=0"
    assert ask(client, YOURS, "GET", where).status_code == 404
    lookup = {"conversation_ids": ["talk"]}
    assert ask(client, YOURS, "POST", "/v1/streams/lookup", json=lookup).json() == []
    assert ask(client, YOURS, "DELETE", "/v1/stream?conv_id=talk").status_code == 204
    assert ask(client, MINE, "GET", where).text == said


def test_prompts_estimates_and_resets_carry_the_keys_salt(client, engine):
    """Cached pages are never shared, nor told of; a request's own salt is within its key's."""
    salts = []
    estimate = engine.estimate

    async def noted(token_ids, *, max_tokens=0, cache_salt=""):
        salts.append(cache_salt)
        return await estimate(token_ids, max_tokens=max_tokens, cache_salt=cache_salt)

    engine.estimate = noted
    ring = KeyRing((MINE, YOURS), client.app.state.context.settings.secret)
    for key in (MINE, YOURS):
        identity = ring.find(key)
        own = identity.cache_salt
        ask(client, key, "POST", "/v1/estimate", json={"prompt": "a"})
        ask(client, key, "POST", "/v1/estimate", json={"prompt": "a", "cache_salt": "x"})
        ask(client, key, "POST", "/v1/chat/completions", json=CHAT)
        ask(client, key, "POST", "/reset_prefix_cache")
        assert salts[-2:] == [own, identity.salted("x")]
        assert engine.requests[-1].cache_salt == engine.resets[-1] == own
    assert len(set(salts)) == 4


def test_slots_show_ones_own(make_client):
    """While a request runs, the other key sees that a slot is taken, not by what."""
    engine = FakeAsyncEngine(gate=asyncio.Event(), steps=0)
    client = make_client(engine, api_keys=(MINE, YOURS), max_num_seqs=2)
    body = {"input": "hi", "background": True}
    made = ask(client, MINE, "POST", "/v1/responses", json=body).json()["id"]
    mine, yours = (ask(client, key, "GET", "/slots").json() for key in (MINE, YOURS))
    assert [slot["is_processing"] for slot in mine] == [True, False]
    assert mine[0]["id_task"] == made
    assert [slot["is_processing"] for slot in yours] == [False]
    ask(client, MINE, "POST", f"/v1/responses/{made}/cancel")
    end = time.monotonic() + 10
    while len(ask(client, YOURS, "GET", "/slots").json()) < 2:
        assert time.monotonic() < end
