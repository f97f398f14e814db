"""/v1/documents: what is known of uploaded files, their pages, their pins."""

import pytest

from longreach.documents import read_document
from support.fake_async_engine import FakeAsyncEngine
from support.odd_pdf import encrypted_pdf
from support.small_pdf import small_pdf

URL = "/v1/documents"
PNG = b"\x89PNG\r\n\x1a\n"


def show(client, file_id):
    answer = client.get(f"{URL}/{file_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_is_known_of_a_document(make_client):
    """The file, what was read of it, what is cached, and what reading the rest would take."""
    engine, pdf = FakeAsyncEngine(num_cached=200), small_pdf(*["The grass is green.\n" * 20] * 3)
    client = make_client(engine)
    form = {"files": {"file": ("book.pdf", pdf)}, "data": {"purpose": "user_data"}}
    file = client.post("/v1/files", **form).json()
    text = read_document(pdf, name="book.pdf").text
    messages = [{"role": "user", "content": text}]
    rendered = engine.chat_template.render(messages).text
    before = rendered[: rendered.index(text) + len(text) - 1]  # less the full stop and line end
    shown = show(client, file["id"])
    assert shown == {
        "id": file["id"],
        "object": "document",
        "filename": "book.pdf",
        "bytes": len(pdf),
        "created_at": file["created_at"],
        "kind": "pdf",
        "pages": 3,
        "tokens": len(engine.tokenizer.encode(before)),
        "error": None,
        "cached_tokens": 128,
        "disk_tokens": 0,
        "cache_bytes": 128 * 2048,
        "pinned": False,
        "pinned_until": None,
        "fits": True,
        "seconds": pytest.approx(shown["tokens"] / 1000),
    }
    listed = client.get(URL).json()
    assert listed["object"] == "list"
    assert listed["data"] == [shown]


def test_lists_hold_documents_alone(client, upload):
    """The newest first; files for other purposes are none, and 404."""
    first, second = upload(b"one", "a.txt"), upload(b"two", "b.txt", "assistants")
    batch = upload(b"{}", "c.jsonl", "batch")
    assert [each["id"] for each in client.get(URL).json()["data"]] == [second, first]
    assert [each["id"] for each in client.get(URL, params={"limit": 1}).json()["data"]] == [second]
    assert client.get(f"{URL}/{batch}").status_code == 404
    assert client.get(f"{URL}/file-none").json()["error"]["param"] == "document_id"


def test_a_file_that_cannot_be_read_is_listed(client, upload, pdf):
    """With the reason, so that its owner can see and delete it; its pages are 400."""
    file_id = upload(encrypted_pdf(pdf, "secret"), "locked.pdf")
    shown = show(client, file_id)
    assert shown["error"]["code"] == "document_encrypted"
    assert "locked.pdf" in shown["error"]["message"]
    assert (shown["pages"], shown["tokens"], shown["fits"]) == (None, None, None)
    for method, path in (("GET", "pages"), ("GET", "pages/1/image"), ("DELETE", "pin")):
        answer = client.request(method, f"{URL}/{file_id}/{path}")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "document_encrypted"
    assert client.delete(f"/v1/files/{file_id}").status_code == 200


def test_pages_are_the_texts_that_citations_count_in(client, upload, pdf):
    """Number, name and text of each."""
    document = read_document(pdf, name="book.pdf")
    pages = client.get(f"{URL}/{upload()}/pages").json()["pages"]
    assert pages == [
        {"number": page.number, "label": page.label, "text": page.text} for page in document.pages
    ]


def test_pictures_of_pages(client, upload):
    """PNG, larger with the scale; 404 for what has none."""
    book, notes = upload(), upload(b"one", "a.txt")
    small, large = (
        client.get(f"{URL}/{book}/pages/2/image", params={"scale": scale}) for scale in (0.5, 2)
    )
    assert small.headers["content-type"] == "image/png"
    assert small.headers["cache-control"].startswith("private")
    assert small.content[:8] == large.content[:8] == PNG
    assert len(small.content) < len(large.content)
    for path in (f"{book}/pages/4/image", f"{book}/pages/0/image", f"{notes}/pages/1/image"):
        assert client.get(f"{URL}/{path}").status_code == 404
    for query in ({"scale": 0}, {"scale": 5}, {"scale": "nan"}):
        assert client.get(f"{URL}/{book}/pages/1/image", params=query).status_code == 400
    assert client.get(f"{URL}/{book}/pages/one/image").status_code == 400


def test_pins(client, engine, upload):
    """The document's own prefix, under its name, for a time or for ever, until it ends."""
    file_id = upload()
    pinned = client.post(f"{URL}/{file_id}/pin", json={"ttl": "30m"}).json()
    assert pinned["pinned"]
    assert pinned["pinned_until"] > pinned["created_at"] + 1700
    [((prefix, salt), (ttl_s, label))] = engine.pins.items()
    assert (len(prefix), salt, ttl_s, label) == (pinned["tokens"], "", 1800, "book.pdf")
    text = engine.tokenizer.decode(prefix)
    assert text.endswith("There and back again.\nThe sun is yellow")
    for_ever = client.post(f"{URL}/{file_id}/pin", json={"ttl": None}).json()
    assert (for_ever["pinned"], for_ever["pinned_until"]) == (True, None)
    assert client.delete(f"{URL}/{file_id}/pin").json()["pinned"] is False
    assert engine.pins == {}
    wrong = client.post(f"{URL}/{file_id}/pin", json={"ttl": "soon"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "ttl"


def test_a_deleted_document_is_not_pinned(client, engine, upload):
    """And is gone from the list."""
    file_id = upload()
    client.post(f"{URL}/{file_id}/pin", json={})
    assert client.delete(f"/v1/files/{file_id}").status_code == 200
    assert engine.pins == {}
    assert client.get(URL).json()["data"] == []
    assert client.get(f"{URL}/{file_id}/pages").status_code == 404


def test_what_is_cached_is_told_of_ones_own(make_client, pdf):
    """State, estimate and pin carry the key's salt, as the prompts do."""
    engine, salts = FakeAsyncEngine(), []
    for name in ("prefix_state", "estimate", "pin", "unpin"):
        setattr(engine, name, noted(getattr(engine, name), salts))
    client = make_client(engine, api_keys=("one", "two"))
    seen = []
    for key in ("one", "two"):
        client.headers["Authorization"] = f"Bearer {key}"
        form = {"files": {"file": ("book.pdf", pdf)}, "data": {"purpose": "user_data"}}
        file_id = client.post("/v1/files", **form).json()["id"]
        part = {"type": "file", "file": {"file_id": file_id}}
        body = {"messages": [{"role": "user", "content": [part]}]}
        client.post("/v1/chat/completions", json=body)
        salts.clear()
        client.get(URL)
        client.post(f"{URL}/{file_id}/pin", json={})
        client.delete(f"{URL}/{file_id}/pin")
        client.post("/v1/estimate", json=body)
        assert len(salts) > 5
        assert set(salts) == {engine.requests[-1].cache_salt}
        seen.append(salts[0])
    assert seen[0] != seen[1]


def noted(call, salts):
    async def wrapped(token_ids, *, cache_salt="", **options):
        salts.append(cache_salt)
        return await call(token_ids, cache_salt=cache_salt, **options)

    return wrapped
