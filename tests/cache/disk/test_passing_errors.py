"""Errors that pass, and changes in between: nothing sound is lost, nothing raises."""

import errno
import os
import time
from pathlib import Path

import pytest

from longreach.cache.disk import catalog as catalog_module
from longreach.cache.disk import extent as extent_module
from longreach.cache.disk import files
from longreach.cache.pins import Pin
from support.extents import TWO_PAGES, chain, header_of, open_store, read, write


def fails_with(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


def test_a_folder_that_cannot_be_listed_keeps_its_extents(store, monkeypatch):
    """No free handle for the look: what is known stays known, and the next look sees the rest."""
    write(store, chain("a", 2))
    store.flush(10)
    with monkeypatch.context() as patch:
        patch.setattr(catalog_module.os, "scandir", fails_with(errno.EMFILE))
        store.catalog.refresh(always=True)
    assert read(store, chain("a", 2)) == 2


def test_drafts_that_cannot_be_listed_are_left(store, monkeypatch):
    """Nothing raises."""
    store.flush(10)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", fails_with(errno.EMFILE))
        assert files.remove_drafts(store.folder) == 0


@pytest.mark.parametrize(("code", "is_kept"), [(errno.EMFILE, True), (errno.EIO, False)])
def test_only_broken_extents_are_removed(store, monkeypatch, code, is_kept):
    """One that cannot be read now is read later; one that the disk has lost goes."""
    write(store, chain("a", 2))
    store.flush(10)
    with monkeypatch.context() as patch:
        patch.setattr(extent_module, "read_all", fails_with(code))
        assert read(store, chain("a", 2)) == 0
        store.flush(10)
    assert read(store, chain("a", 2)) == (2 if is_kept else 0)
    assert bool(list(store.folder.glob("*.safetensors"))) == is_kept


def test_headers_that_cannot_be_read_now_are_read_later(store, tmp_path, monkeypatch):
    """The file stays, and the next look finds it."""
    write(store, chain("a", 2))
    store.flush(10)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fails_with(errno.EMFILE))
        again = open_store(tmp_path)
    again.catalog.refresh(always=True)
    assert read(again, chain("a", 2)) == 2
    again.close()


def test_pins_that_cannot_be_read_now_stay(store, monkeypatch):
    """As they were read last; and those that were never read are found with the next look."""
    store.pin(Pin(digests=tuple(chain("a", 2))))
    store.flush(10)
    (known,) = store.pins().values()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", fails_with(errno.EMFILE))
        store.pin(Pin(digests=tuple(chain("b", 2))))
        store.flush(10)
        assert list(store.pins().values()) == [known]
    assert len(store.pins()) == 2


def test_an_extent_may_be_found_anew_before_it_is_removed(store):
    """A look between the two makes another object of the same file: that one goes, quietly."""
    write(store, chain("a", 2))
    store.flush(10)
    (stale,) = store.catalog.extents
    store.catalog.forget(stale)
    os.utime(store.folder)
    store.catalog.refresh(always=True)
    assert store.catalog.extents != [stale]
    store.catalog.remove(stale)
    assert store.catalog.extents == []
    assert store.catalog.find(chain("a", 2), 0, header_of(chain("a", 2), 0, 2).made[0]) == []


def test_the_whole_of_an_old_chain_goes_before_the_end_of_a_new_one(tmp_path):
    """The longest unused file goes, then what it went on from, before anything used later."""
    store = open_store(tmp_path, max_bytes=5 * TWO_PAGES)
    old, new = chain("old", 4), chain("new", 6)
    for digests, past_s in ((old, 5000), (new, 0)):
        for first in range(0, len(digests), 2):
            write(store, digests, first, first + 2)
        store.flush(10)
        for extent in store.catalog.with_pages(digests):
            extent.used_ns -= past_s * 10**9
            os.utime(extent.path, ns=(extent.used_ns, extent.used_ns))
    write(store, chain("large", 4))
    store.flush(10)
    assert (read(store, old), read(store, new)) == (0, 6)
    store.close()


def test_drafts_of_pins_and_memos_go_too(tmp_path):
    """Wherever a writer may have died."""
    store = open_store(tmp_path)
    store.pin(Pin(digests=tuple(chain("a", 2))))
    store.flush(10)
    drafts = [tmp_path / "weights.json.aa.draft", store.folder / "pins" / "x.pin.json.bb.draft"]
    for draft in drafts:
        draft.write_bytes(b"half")
        os.utime(draft, (time.time() - 600,) * 2)
    again = open_store(tmp_path)
    again.flush(10)
    assert len(again.pins()) == 1
    assert [draft.exists() for draft in drafts] == [False, False]
    again.close()
    store.close()
