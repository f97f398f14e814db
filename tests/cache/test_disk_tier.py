"""What a cache leaves on disk, and finds there again."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from longreach.cache import DENSE, ExtentStore, KVCache, Pin, disk_tier, layout_of
from longreach.cache.disk import extent as extent_module
from longreach.cache.disk.extent import read_pages
from longreach.config import DiskCacheConfig
from support.pools import small_pool

PAGE = 4


@pytest.fixture
def started(tmp_path):
    """Caches over one directory; each is closed in the end."""
    caches = []

    def start(num_pages=64):
        pool = small_pool(num_pages, PAGE)
        store = ExtentStore(DiskCacheConfig(directory=tmp_path), b"m" * 32, layout_of(pool))
        caches.append(KVCache(num_pages, PAGE, pool=pool, store=store))
        return caches[-1]

    yield start
    for cache in caches:
        cache.disk.close()


def remember(cache, tokens, value, **names):
    """A request whose keys and values are all `value`, from its first to its last token."""
    table = cache.open_table(tokens, **names)
    cache.extend(table, len(tokens))
    for tensor in (*cache.pool.k, *cache.pool.v):
        tensor[:, table.slots(0, len(tokens))] = value
    cache.commit(table, len(tokens), DENSE)
    cache.release(table)
    assert cache.disk.store.flush(10)


def values_on_disk(cache):
    """Every number in any file."""
    found = set()
    for extent in cache.disk.store.catalog.extents:
        data = np.empty(extent.header.num_bytes, np.uint8)
        read_pages(extent, [data.data])
        found.update(data.view(np.float32).tolist())
    return found


def test_a_file_has_nothing_of_who_had_the_page_before(started):
    """Behind the tokens of an unfinished page another tenant's keys may lie: they are not written,
    and are gone from disk when that tenant's are forgotten.
    """
    cache = started(num_pages=2)
    remember(cache, range(8), 7.0, cache_salt="bob")
    remember(cache, [1], 1.0, cache_salt="alice")
    cache.disk.forget("bob")
    assert cache.disk.store.flush(10)
    assert values_on_disk(cache) <= {0.0, 1.0}


def test_of_equally_long_beginnings_disk_and_memory_give_the_same(started):
    """The newest one, in whatever order the files are seen after a restart."""
    cache = started()
    salts = [str(number) for number in range(8)]
    for salt in salts:
        remember(cache, [1, 2, 3], 1.0, cache_salt=salt)
        remember(cache, [1, 2, 4], 2.0, cache_salt=salt)
    again = started()
    for salt in salts:
        table = cache.open_table([1, 2, 5], cache_salt=salt)
        kept = cache.match_table(table, DENSE).shared
        (part,) = again.find_on_disk(table, DENSE, again.match_table(table, DENSE))
        assert kept.num_tokens == part.num_tokens == 2
        digest = part.extent.header.digests[part.first]
        assert cache.index.page_of(digest) == kept.page


def forever(cache, tokens):
    """A pin of exactly these tokens, without an end."""
    return Pin(digests=tuple(cache.open_table(tokens).chain.digests))


def test_a_pin_renewed_elsewhere_stays(started):
    """The time of our copy is over, that of the file is not: nothing of it goes for room."""
    cache = started(num_pages=8)
    remember(cache, range(16), 1.0)
    pin = forever(cache, range(16))
    cache.pin(replace(pin, expires_s=time.time() + 0.05))
    assert cache.disk.store.flush(10)
    cache.disk.store.pin(pin)  # as another process would
    assert cache.disk.store.flush(10)
    time.sleep(0.1)
    remember(cache, range(100, 124), 2.0)
    assert cache.disk.store.pins() == {pin.name: pin}
    assert cache.pins.get(pin.name) == pin


def test_pins_made_elsewhere_are_ended_here(started):
    """By the first unpin, though this cache had not heard of them."""
    cache = started()
    remember(cache, range(16), 1.0)
    pin = forever(cache, range(16))
    cache.disk.store.pin(pin)
    assert cache.disk.store.flush(10)
    assert cache.unpin(pin.name)
    assert cache.disk.store.flush(10)
    assert cache.disk.store.pins() == {}


def test_nothing_is_wished_for_twice(started, monkeypatch):
    """Questions over a document that waits for the writer ask for their own pages alone."""
    monkeypatch.setattr(extent_module, "EXTENT_TOKENS", 2 * PAGE)
    cache = started()
    gate = threading.Event()
    cache.disk.store.writer.put(lambda: gate.wait(10), cache.disk.store.writer._max_bytes)
    for question in range(3):
        table = cache.open_table([*range(40), 100 + question])
        cache.start(table, cache.match_table(table, DENSE), 41)
        cache.commit(table, 41, DENSE)
        cache.release(table)
    digests = [digest for wish in cache.disk._backlog for digest in wish.digests]
    assert len(digests) == len(set(digests)) == 10 + 3
    gate.set()
    assert cache.disk.store.flush(10)
    cache.disk.pump()


def test_too_much_to_write_is_told_once(started, monkeypatch, caplog):
    """Beyond the bound of the backlog, one line says that nothing more is kept."""
    monkeypatch.setattr(disk_tier, "MAX_BACKLOG", 1)
    cache = started()
    gate = threading.Event()
    cache.disk.store.writer.put(lambda: gate.wait(10), cache.disk.store.writer._max_bytes)
    for first in (0, 100, 200):
        table = cache.open_table(range(first, first + 8))
        cache.extend(table, 8)
        cache.commit(table, 8, DENSE)
        cache.release(table)
    gate.set()
    assert len(caplog.messages) == 1
    assert "1 extents wait" in caplog.text
