from concurrent.futures import ThreadPoolExecutor

import pytest

from longreach.serve.store import ObjectStore


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    store = ObjectStore(tmp_path / "objects.db", ttl_s=60, clock=clock)
    yield store
    store.close()


def test_what_is_kept_is_found(store):
    """Data comes back as it was put, the last one of a key, kinds apart."""
    store.put("a", "1", "me", b"first")
    store.put("a", "1", "me", b"second")
    store.put("b", "1", "me", b"other")
    assert store.get("a", "1", "me") == b"second"
    assert store.get("b", "1", "me") == b"other"
    assert store.get("a", "2", "me") is None


def test_others_find_nothing(store):
    """Another owner can neither read, nor replace, nor delete."""
    store.put("a", "1", "me", b"mine")
    store.put("a", "1", "you", b"yours")
    assert store.get("a", "1", "you") is None
    assert not store.delete("a", "1", "you")
    assert store.get("a", "1", "me") == b"mine"


def test_deleted_is_gone(store):
    """delete says whether there was something, and leaves nothing."""
    store.put("a", "1", "me", b"x")
    assert store.delete("a", "1", "me")
    assert not store.delete("a", "1", "me")
    assert store.get("a", "1", "me") is None


def test_things_end(store, clock):
    """After ttl_s nothing is found, and its room is given back."""
    store.put("a", "1", "me", b"x")
    clock.now += 60
    assert store.get("a", "1", "me") is None
    assert not store.delete("a", "1", "me")
    store.put("a", "2", "me", b"y")
    assert [row["id"] for row in store._database.run("SELECT id FROM objects")] == ["2"]


def test_a_file_outlives_the_process(tmp_path):
    """Another store on the same file finds what the first one kept; only we can read it."""
    path = tmp_path / "state" / "objects.db"
    first = ObjectStore(path, ttl_s=60)
    first.put("a", "1", "me", b"x")
    first.close()
    second = ObjectStore(path, ttl_s=60)
    assert second.get("a", "1", "me") == b"x"
    assert path.stat().st_mode & 0o077 == 0
    second.close()


def test_threads_share_a_store(store):
    """Puts from many threads are all there."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.put("a", str(i), "me", bytes([i])), range(64)))
        found = list(pool.map(lambda i: store.get("a", str(i), "me"), range(64)))
    assert found == [bytes([i]) for i in range(64)]
