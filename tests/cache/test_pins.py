"""Pins: what is asked to stay is the last to go."""

import pytest

from longreach.cache import DENSE, KVCache, Pin, Pins, salt_tag

PAGE = 4


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def cache():
    cache = KVCache(num_pages=6, page_size=PAGE)
    cache.pins = Pins(Clock())
    return cache


def read(cache, first, num_pages):
    """A request reads a prompt of full pages that begins with this token, and ends."""
    table = cache.open_table(range(first, first + num_pages * PAGE))
    cache.extend(table, num_pages * PAGE)
    cache.commit(table, num_pages * PAGE, DENSE)
    cache.release(table)
    return tuple(table.chain.digests)


def held(cache, digests):
    return [cache.index.page_of(digest) is not None for digest in digests]


def test_pinned_pages_outlive_younger_ones(cache):
    """A pinned prefix stays while pages that are not pinned can be given."""
    old = read(cache, 0, 2)
    cache.pin(Pin(digests=old))
    young = read(cache, 100, 3)
    newest = read(cache, 200, 4)
    assert held(cache, old) == [True, True]
    assert held(cache, young) == [False] * 3
    assert held(cache, newest) == [True] * 4
    cache.check()


def test_running_requests_come_before_pins(cache):
    """When every cached page is pinned, a request gets them all the same, the tail first."""
    old = read(cache, 0, 4)
    cache.pin(Pin(digests=old))
    read(cache, 100, 3)
    assert held(cache, old) == [True, True, True, False]
    cache.check()


def test_a_pin_may_come_before_its_pages(cache):
    """What is pinned and not read yet stays once it is read."""
    probe = tuple(cache.open_table(range(2 * PAGE)).chain.digests)
    cache.pin(Pin(digests=probe))
    assert read(cache, 0, 2) == probe
    read(cache, 100, 3)
    read(cache, 200, 4)
    assert held(cache, probe) == [True, True]


def test_a_pin_ends_with_its_time(cache):
    """After expires_s the pages are like all others."""
    old = read(cache, 0, 2)
    cache.pin(Pin(digests=old, expires_s=1010.0))
    cache.pins.now.now_s = 1010.0
    read(cache, 100, 5)
    assert held(cache, old) == [True, False]
    read(cache, 200, 6)
    assert held(cache, old) == [False, False]
    assert len(cache.pins) == 0
    cache.check()


def test_overlapping_pins_count(cache):
    """A page stays as long as any pin wants it; unpinning tells whether there was a pin."""
    digests = read(cache, 0, 3)
    cache.pin(Pin(digests=digests))
    cache.pin(Pin(digests=digests[:2]))
    assert cache.unpin(digests[-1])
    assert not cache.unpin(digests[-1])
    assert [cache.pins.covers(digest) for digest in digests] == [True, True, False]
    assert [pin.digests for pin in cache.pins.covering(digests[0])] == [digests[:2]]
    read(cache, 100, 4)
    assert held(cache, digests) == [True, True, False]
    cache.check()


def test_forgetting_ends_the_pins_of_a_salt(cache):
    """forget_unused forgets pinned pages too, of the salt that was named or of all."""
    ours, theirs = read(cache, 0, 1), read(cache, 50, 1)
    cache.pin(Pin(digests=ours, salt_tag=salt_tag("a")))
    cache.pin(Pin(digests=theirs, salt_tag=salt_tag("b")))
    cache.forget_unused("a")
    assert [pin.digests for pin in cache.pins] == [theirs]
    cache.forget_unused()
    assert len(cache.pins) == 0
    assert cache.stats().num_cached == 0
