import asyncio
import json
import threading
import time

import pytest

from longreach.errors import EngineBusyError
from longreach.serve.auth import KeyRing
from longreach.serve.batches.local import LocalApi, Reply
from longreach.serve.schema.batches import BatchRequest
from support.fake_async_engine import FakeAsyncEngine

CHAT = "/v1/chat/completions"
DEADLINE_S = 30
OVER = ("completed", "failed", "cancelled", "expired")


def chat(custom_id, content="hi", **body):
    messages = [{"role": "user", "content": content}]
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": CHAT,
        "body": {"messages": messages, **body},
    }


def upload(client, lines):
    content = "\n".join(json.dumps(line) for line in lines).encode()
    files = {"file": ("in.jsonl", content)}
    return client.post("/v1/files", files=files, data={"purpose": "batch"}).json()["id"]


def start(client, lines, endpoint=CHAT, **fields):
    body = {
        "input_file_id": upload(client, lines),
        "endpoint": endpoint,
        "completion_window": "24h",
        **fields,
    }
    answer = client.post("/v1/batches", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait(client, batch, until=OVER):
    """The batch as soon as it is in one of these states."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        batch = client.get(f"/v1/batches/{batch['id']}").json()
        if batch["status"] in until:
            return batch
        time.sleep(0.02)
    raise AssertionError(f"still {batch['status']}")


def wait_for(condition):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def lines_of(client, file_id):
    if file_id is None:
        return []
    text = client.get(f"/v1/files/{file_id}/content").text
    return [json.loads(line) for line in text.splitlines()]


def test_from_upload_to_answers(client, engine):
    """Every line is answered in OpenAI's shape, and the batch says when it was in which state."""
    made = start(client, [chat(f"q{n}") for n in range(5)], metadata={"who": "me"})
    assert (made["object"], made["status"], made["metadata"]) == (
        "batch",
        "validating",
        {"who": "me"},
    )
    assert made["expires_at"] - made["created_at"] == 86400
    batch = wait(client, made)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 5, "completed": 5, "failed": 0}
    assert batch["error_file_id"] is None
    assert batch["in_progress_at"] <= batch["finalizing_at"] <= batch["completed_at"]
    answers = lines_of(client, batch["output_file_id"])
    assert {answer["custom_id"] for answer in answers} == {f"q{n}" for n in range(5)}
    for answer in answers:
        assert answer["id"].startswith("batch_req_")
        assert answer["error"] is None
        assert answer["response"]["status_code"] == 200
        body = answer["response"]["body"]
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["content"] == engine.script
    assert client.get(f"/v1/files/{batch['output_file_id']}").json()["purpose"] == "batch_output"


@pytest.mark.parametrize(
    ("endpoint", "body", "kind"),
    [
        ("/v1/completions", {"prompt": "Once"}, "text_completion"),
        ("/v1/embeddings", {"input": "a"}, "list"),
        ("/v1/responses", {"input": "hi"}, "response"),
    ],
)
def test_other_endpoints(client, endpoint, body, kind):
    """Each endpoint answers as its own route does."""
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    batch = wait(client, start(client, [line], endpoint))
    [answer] = lines_of(client, batch["output_file_id"])
    assert answer["response"]["body"]["object"] == kind


def test_failures_are_apart(client):
    """A request that fails has the answer that its route would have given, in the error file."""
    lines = [
        chat("good"),
        chat("bad", temperature=9),
        chat("stream", stream=True),
        chat("model", model="gpt-9"),
        chat("long", content="word " * 9000),
    ]
    batch = wait(client, start(client, lines))
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 5, "completed": 1, "failed": 4}
    failed = {
        each["custom_id"]: each["response"] for each in lines_of(client, batch["error_file_id"])
    }
    statuses = {name: response["status_code"] for name, response in failed.items()}
    assert statuses == {"bad": 400, "stream": 400, "model": 404, "long": 400}
    assert failed["bad"]["body"]["error"]["param"] == "temperature"
    assert failed["long"]["body"]["error"]["code"] == "context_length_exceeded"


def test_a_bug_fails_its_line_only(client, engine):
    """An exception nobody expected is a 500 of that line."""
    engine.script = lambda request, index: 1 / 0 if 5 in request.prompt_token_ids[:1] else "fine"
    lines = [
        {"custom_id": f"{n}", "method": "POST", "url": "/v1/completions", "body": {"prompt": [n]}}
        for n in (4, 5, 6)
    ]
    batch = wait(client, start(client, lines, "/v1/completions"))
    [failed] = lines_of(client, batch["error_file_id"])
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("5", 500)
    assert failed["response"]["body"]["error"]["code"] == "internal_error"


def nested(depth):
    return {"a": nested(depth - 1)} if depth else {}


def odd_call(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]}]


def test_odd_lines_fail_alone(client):
    """Whatever a line holds, it is answered by itself, and the lines around it are too."""
    tool = {"type": "function", "function": {"name": "f", "parameters": nested(300)}}
    lines = [
        chat("good"),
        chat("deep", tools=[tool]),
        chat("self", chat_template_kwargs={"self": 1}),
        chat("brackets", messages=odd_call("[" * 100_000)),
    ]
    batch = wait(client, start(client, lines))
    assert (batch["status"], batch["request_counts"]["total"]) == ("completed", 4)
    failed = lines_of(client, batch["error_file_id"])
    replies = {each["custom_id"]: each["response"] for each in failed}
    statuses = {name: reply["status_code"] for name, reply in replies.items()}
    assert statuses == {"deep": 400, "self": 400}
    assert "nested" in replies["deep"]["body"]["error"]["message"]
    prompt = {"prompt": [2**63]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": prompt}
    assert wait(client, start(client, [line], "/v1/completions"))["status"] == "completed"


def test_a_fault_of_ours_keeps_what_was_answered(make_client, monkeypatch):
    """A batch that cannot go on hands over its answers, and leaves no folder."""
    calls = []

    async def post(self, path, body, caller, request_id):
        calls.append(path)
        if len(calls) > 1:
            raise ZeroDivisionError
        return Reply(200, {"object": "chat.completion"})

    monkeypatch.setattr(LocalApi, "post", post)
    client = make_client(max_batch_concurrency=1)
    batch = wait(client, start(client, [chat("a"), chat("b")]))
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "internal_error")
    [kept] = lines_of(client, batch["output_file_id"])
    assert kept["custom_id"] == "a"
    folder = client.app.state.context.state_dir / "batches" / batch["id"]
    wait_for(lambda: not folder.exists())


def test_a_file_that_is_wrong(client, engine):
    """A batch with a wrong line fails as a whole, names the line, and runs nothing."""
    batch = wait(client, start(client, [chat("a"), chat("a")]))
    assert (batch["status"], batch["output_file_id"]) == ("failed", None)
    [error] = batch["errors"]["data"]
    assert (error["code"], error["line"]) == ("duplicate_custom_id", 2)
    assert engine.requests == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"metadata": {"a": 5}}, "metadata.a"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
            "output_expires_after.seconds",
        ),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bodies_that_cannot_be_obeyed(client, change, param):
    """400 that names the field, and no batch."""
    body = {"input_file_id": upload(client, [chat("a")]), "endpoint": CHAT} | change
    answer = client.post("/v1/batches", json={"completion_window": "24h"} | body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert client.get("/v1/batches").json()["data"] == []


def test_a_file_of_another_purpose(client):
    """Only files that were uploaded for batches are run."""
    files = {"file": ("a", b"{}")}
    file = client.post("/v1/files", files=files, data={"purpose": "user_data"}).json()
    body = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    assert client.post("/v1/batches", json=body).status_code == 400


def test_long_prefixes_run_together(make_client):
    """Requests that share a long beginning run one after another, whatever their order was."""
    engine = FakeAsyncEngine(max_model_len=100_000)
    client = make_client(engine, max_batch_concurrency=1)
    documents = {name: f"{name} is a long text. " * 400 for name in "xyz"}
    lines = [chat(f"{name}{n}", documents[name] + str(n)) for n in range(3) for name in "xyz"]
    wait(client, start(client, lines))
    beginnings = [tuple(request.prompt_token_ids[:200]) for request in engine.requests]
    runs = [beginnings[0]]
    for beginning in beginnings:
        if beginning != runs[-1]:
            runs.append(beginning)
    assert len(beginnings) == 9
    assert len(runs) == len(set(runs)) == 3


def test_cancel_keeps_what_is_done(make_client):
    """A cancelled batch stops the engine's work and keeps the answers that were given."""
    engine = FakeAsyncEngine(gate=asyncio.Event())
    client = make_client(engine, max_batch_concurrency=2)
    batch = start(client, [chat(f"{n}") for n in range(6)])
    wait_for(lambda: len(engine.requests) == 2)
    assert client.post(f"/v1/batches/{batch['id']}/cancel").json()["status"] == "cancelling"
    batch = wait(client, batch)
    assert (batch["status"], batch["output_file_id"]) == ("cancelled", None)
    assert batch["cancelling_at"] <= batch["cancelled_at"]
    assert len(engine.aborted) == 2
    again = client.post(f"/v1/batches/{batch['id']}/cancel")
    assert (again.status_code, again.json()["error"]["param"]) == (409, "batch_id")


def test_cancel_while_waiting_for_its_turn(make_client):
    """A batch that has not begun is cancelled when its turn comes, without running anything."""
    engine = FakeAsyncEngine(gate=asyncio.Event())
    client = make_client(engine)
    first = start(client, [chat("a")])
    wait_for(lambda: len(engine.requests) == 1)
    second = start(client, [chat("b")])
    client.post(f"/v1/batches/{second['id']}/cancel")
    client.post(f"/v1/batches/{first['id']}/cancel")
    assert wait(client, second)["status"] == "cancelled"
    assert len(engine.requests) == 1


def test_expiry(client, engine, monkeypatch):
    """What there was no time for is named in the error file, and the batch has expired."""
    engine.gate = asyncio.Event()
    monkeypatch.setattr(BatchRequest, "window_s", 1)
    batch = wait(client, start(client, [chat("a"), chat("b")]))
    assert batch["status"] == "expired"
    assert batch["request_counts"] == {"total": 2, "completed": 0, "failed": 2}
    late = lines_of(client, batch["error_file_id"])
    assert {line["custom_id"] for line in late} == {"a", "b"}
    assert {line["error"]["code"] for line in late} == {"batch_expired"}
    assert all(line["response"] is None for line in late)


def test_every_line_once_though_the_server_stopped(make_client, tmp_path):
    """A server that stops in the middle leaves a batch that the next one ends: each line once."""
    first_engine = FakeAsyncEngine(script=lambda request, index: next_answer())
    answered = []
    enough = threading.Event()

    def next_answer():
        answered.append(1)
        if len(answered) > 7:
            first_engine.gate = asyncio.Event()  # nobody will ever open it
            enough.set()
        return "first"

    settings = {"state_dir": tmp_path / "state", "max_batch_concurrency": 2}
    client = make_client(first_engine, **settings)
    batch = start(client, [chat(f"{n}") for n in range(20)])
    assert enough.wait(DEADLINE_S)
    client.__exit__(None, None, None)
    second = make_client(FakeAsyncEngine(script="second"), **settings)
    batch = wait(second, batch)
    answers = lines_of(second, batch["output_file_id"])
    assert sorted(int(answer["custom_id"]) for answer in answers) == list(range(20))
    texts = [each["response"]["body"]["choices"][0]["message"]["content"] for each in answers]
    assert {*texts} == {"first", "second"}
    assert batch["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
    assert not (tmp_path / "state" / "batches" / batch["id"]).exists()


def test_a_withdrawn_key_runs_nothing_more(make_client, tmp_path):
    """A batch whose key the next server does not know fails."""
    settings = {"state_dir": tmp_path / "state"}
    headers = {"Authorization": "Bearer one"}
    engine = FakeAsyncEngine(gate=asyncio.Event())
    client = make_client(engine, headers=headers, api_keys=("one",), **settings)
    batch = start(client, [chat("a")])
    wait_for(lambda: engine.requests)
    client.__exit__(None, None, None)
    later = make_client(FakeAsyncEngine(), headers=headers, api_keys=("two",), **settings)
    assert later.get("/v1/batches").status_code == 401
    owner = KeyRing(("one",), b"any").find("one").owner
    store = later.app.state.batches._store
    wait_for(lambda: store.get(owner, batch["id"]).is_finished)
    assert store.get(owner, batch["id"]).errors[0]["code"] == "key_withdrawn"


def test_batches_are_their_owners_alone(make_client):
    """With another key a batch is not found, not listed, and not cancelled; its file neither."""
    client = make_client(api_keys=("one", "two"), headers={"Authorization": "Bearer one"})
    batch = wait(client, start(client, [chat("a")]))
    other = {"Authorization": "Bearer two"}
    path = f"/v1/batches/{batch['id']}"
    assert client.get("/v1/batches", headers=other).json()["data"] == []
    assert client.get(path, headers=other).status_code == 404
    assert client.post(path + "/cancel", headers=other).status_code == 404
    output = f"/v1/files/{batch['output_file_id']}/content"
    assert client.get(output, headers=other).status_code == 404
    body = {
        "input_file_id": batch["input_file_id"],
        "endpoint": CHAT,
        "completion_window": "24h",
    }
    assert client.post("/v1/batches", json=body, headers=other).status_code == 400


def test_requests_carry_their_owners_salt(make_client):
    """A batch's prompts are cached where its owner's other prompts are."""
    engine = FakeAsyncEngine()
    client = make_client(engine, api_keys=("one", "two"), headers={"Authorization": "Bearer one"})
    wait(client, start(client, [chat("a")]))
    client.post(CHAT, json=chat("a")["body"])
    salts = [request.cache_salt for request in engine.requests]
    assert salts[0] == salts[1] != ""


def test_pages(client):
    """Following `after` walks all batches once, the newest first."""
    ids = [start(client, [chat("a")])["id"] for _ in range(5)]
    seen, query = [], {"limit": 2}
    while True:
        page = client.get("/v1/batches", params=query).json()
        seen += [batch["id"] for batch in page["data"]]
        query["after"] = page["last_id"]
        if not page["has_more"]:
            break
    assert seen == ids[::-1]


def test_a_full_queue_is_waited_for(client, engine):
    """A request that finds no room is tried again, not failed."""
    engine.fail = EngineBusyError("the queue holds 1 request", 0.01)
    batch = start(client, [chat("a")])
    wait(client, batch, ("in_progress",))
    engine.fail = None
    assert wait(client, batch)["request_counts"]["completed"] == 1
