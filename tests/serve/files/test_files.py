import io
import stat

import pytest

from longreach.serve.errors import ApiError
from longreach.serve.files.storage import FileStore, write_whole

TWO_KEYS = {"api_keys": ("one", "two")}


def upload(client, content=b"hello", name="a.txt", **fields):
    form = {"purpose": "user_data", **fields}
    return client.post("/v1/files", files={"file": (name, content)}, data=form)


def as_key(key):
    return {"Authorization": f"Bearer {key}"}


def test_a_file_comes_back_as_it_was(client):
    """Every byte, and what was said of it."""
    content = bytes(range(256)) * 1000
    file = upload(client, content, name="notes/été.bin").json()
    assert file["id"].startswith("file-")
    assert (file["object"], file["bytes"], file["purpose"]) == ("file", len(content), "user_data")
    assert (file["filename"], file["status"]) == ("été.bin", "processed")
    assert client.get(f"/v1/files/{file['id']}").json() == file
    assert client.get(f"/v1/files/{file['id']}/content").content == content


def test_deleted_is_gone(client):
    """A deleted file is 404 everywhere, and no byte of it is left."""
    file = upload(client).json()
    path = f"/v1/files/{file['id']}"
    assert client.delete(path).json() == {"id": file["id"], "object": "file", "deleted": True}
    for answer in (client.get(path), client.get(path + "/content"), client.delete(path)):
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "invalid_request_error"
    assert client.get("/v1/files").json()["data"] == []
    assert not (client.app.state.context.state_dir / "files" / file["id"]).exists()


def test_pages_of_a_list(client):
    """Following `after` walks all files once, in either order."""
    ids = [upload(client, name=f"{i}").json()["id"] for i in range(5)]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        seen, after = [], {}
        while True:
            query = {"limit": 2, "order": order, **after}
            page = client.get("/v1/files", params=query).json()
            seen += [file["id"] for file in page["data"]]
            after = {"after": page["last_id"]}
            if not page["has_more"]:
                break
        assert seen == expected


def test_list_of_one_purpose(client):
    """Only files of the purpose asked for."""
    upload(client)
    batch = upload(client, purpose="batch").json()
    listed = client.get("/v1/files", params={"purpose": "batch"}).json()["data"]
    assert [file["id"] for file in listed] == [batch["id"]]


def test_files_are_their_owners_alone(make_client):
    """With another key a file is not found, not listed, and not deleted."""
    client = make_client(**TWO_KEYS)
    client.headers.update(as_key("one"))
    path = f"/v1/files/{upload(client).json()['id']}"
    other = as_key("two")
    assert client.get("/v1/files", headers=other).json()["data"] == []
    assert client.get("/v1/files", params={"after": path[10:]}, headers=other).status_code == 404
    for answer in (
        client.get(path, headers=other),
        client.get(path + "/content", headers=other),
        client.delete(path, headers=other),
    ):
        assert answer.status_code == 404
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "fun"}, "purpose"),
        ({"purpose": []}, None),
        ({"colour": "red"}, "colour"),
        ({"expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        ({"purpose[x]": "y"}, "purpose"),
        ({"expires_after": "5", "expires_after[anchor]": "created_at"}, "expires_after"),
        ({"expires_after[anchor]": "created_at", "expires_after": "5"}, "expires_after"),
        (
            {"expires_after[anchor]": "created_at", "expires_after[seconds]": "9" * 5000},
            "expires_after.seconds",
        ),
        (
            {"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"},
            "expires_after.seconds",
        ),
        (
            {"expires_after[anchor]": "now", "expires_after[seconds]": "3600"},
            "expires_after.anchor",
        ),
    ],
)
def test_fields_that_cannot_be_obeyed(client, fields, param):
    """400 that names the field; nothing is stored."""
    answer = upload(client, **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == (param or "purpose")
    assert client.get("/v1/files").json()["data"] == []


def test_bodies_that_are_no_upload(client):
    """JSON is 415, a form without a file or a broken form 400."""
    assert client.post("/v1/files", json={"purpose": "batch"}).status_code == 415
    answer = client.post("/v1/files", data={"purpose": "batch"}, files={"other": ("a", b"x")})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/v1/files", content=b"no form", headers=broken).status_code == 400


def test_too_large(make_client):
    """More bytes than the limit are 413 and leave nothing behind."""
    client = make_client(max_file_bytes=1000)
    assert upload(client, b"x" * 1000).status_code == 200
    for size in (1001, 200_000):
        answer = upload(client, b"x" * size)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert len(client.get("/v1/files").json()["data"]) == 1


def test_limit_is_checked(client):
    """A limit out of range is 400."""
    answer = client.get("/v1/files", params={"limit": 0})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")


def test_expiry(tmp_path):
    """A file is there until the second it expires, and its bytes go with it."""
    now = [1000.0]
    store = FileStore(tmp_path, clock=lambda: now[0])
    file = store.add("me", io.BytesIO(b"x"), filename="a", purpose="batch", expires_after_s=60)
    now[0] = 1059
    assert store.get("me", file.id).expires_at == 1060
    now[0] = 1060
    with pytest.raises(ApiError):
        store.get("me", file.id)
    assert not store.path_of(file.id).exists()


def test_batch_files_expire_by_themselves(client):
    """Files for batches live for thirty days, others until they are deleted, unless they say."""
    assert upload(client).json()["expires_at"] is None
    batch = upload(client, purpose="batch").json()
    assert batch["expires_at"] - batch["created_at"] == 30 * 86400
    asked = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    short = upload(client, **asked).json()
    assert short["expires_at"] - short["created_at"] == 3600


def test_files_outlive_the_server(make_client, tmp_path):
    """A new server over the same directory has the files; nobody else may read them."""
    file = upload(make_client(state_dir=tmp_path / "state")).json()
    again = make_client(state_dir=tmp_path / "state")
    assert again.get(f"/v1/files/{file['id']}/content").content == b"hello"
    for path in (tmp_path / "state").rglob("*"):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


def test_a_write_that_fails_leaves_nothing(tmp_path):
    """Neither the file nor a part of it."""

    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_whole(tmp_path / "a", Broken())
    assert list(tmp_path.iterdir()) == []
