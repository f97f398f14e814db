"""A directory of extents: what is written is found, by those who may have it, and by no others."""

import errno
import os
import time

import pytest

from longreach.cache.disk import files
from longreach.cache.disk import store as store_module
from longreach.cache.disk.extent import write_extent
from longreach.cache.pins import Pin
from longreach.cache.provenance import DENSE, Provenance
from support.extents import LAYOUT, TWO_PAGES, chain, data_of, header_of, open_store, read, write

SPARSE = Provenance(mode="adaptive", target=0.9)


def size_of(folder):
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def names(folder):
    return {path.name for path in folder.glob("*.safetensors")}


def test_what_was_written_is_there_after_a_restart(store, tmp_path):
    """Another process over the same directory finds every page of the chain, to the byte."""
    digests = chain("a", 7)
    for first in (0, 3, 6):
        write(store, digests, first, min(first + 3, 7))
    assert store.flush(10)
    assert read(store, digests) == 7
    again = open_store(tmp_path)
    assert read(again, digests) == 7
    assert read(again, [*digests[:4], *chain("b", 2)]) == 4
    assert read(again, chain("b", 2)) == 0


def test_directories_and_files_are_private(store, tmp_path):
    """0700 and 0600, whatever the umask."""
    write(store, chain("a", 2))
    store.flush(10)
    for path in [tmp_path / "extents", *tmp_path.rglob("*/*")]:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("change", ["model", "layout"])
def test_another_fingerprint_never_hits(store, tmp_path, change):
    """Other weights, rope or dtype make another fingerprint or layout: another folder."""
    write(store, chain("a", 2))
    store.flush(10)
    other = {
        "model": {"model": b"other" * 6},
        "layout": {"layout": LAYOUT.__class__(**{**vars(LAYOUT), "dtype": "F16"})},
    }[change]
    assert read(open_store(tmp_path, **other), chain("a", 2)) == 0


def test_provenance_decides(store, tmp_path):
    """A sparse page serves no dense request; a dense one replaces it, and its file goes."""
    digests = chain("a", 2)
    write(store, digests, made=SPARSE)
    store.flush(10)
    assert (read(store, digests, DENSE), read(store, digests, SPARSE)) == (0, 2)
    assert not store.lacks(digests[0], SPARSE)
    assert store.lacks(digests[0], DENSE)
    write(store, digests, made=DENSE)
    assert not store.lacks(digests[0], DENSE)
    store.flush(10)
    again = open_store(tmp_path)
    assert (read(again, digests, DENSE), read(again, digests, SPARSE)) == (2, 2)
    assert len(names(store.folder)) == 1


def test_two_processes_keep_one_of_two_equal_extents(store, tmp_path):
    """Both wrote the same pages: both keep the same file, and can read it."""
    other = open_store(tmp_path)
    write(store, chain("a", 2))
    write(other, chain("a", 2))
    store.flush(10)
    other.flush(10)
    for each in (store, other):
        each.catalog.refresh(always=True)
    for each in (store, other):
        assert read(each, chain("a", 2)) == 2
    assert len(names(store.folder)) == 1


def test_files_may_vanish(store, tmp_path):
    """What somebody removed is no longer found; a removed directory is made anew."""
    write(store, chain("a", 2))
    store.flush(10)
    for path in store.folder.glob("*.safetensors"):
        path.unlink()
    assert read(store, chain("a", 2)) == 0
    for path in store.folder.iterdir():
        path.unlink()
    store.folder.rmdir()
    write(store, chain("b", 2))
    store.flush(10)
    write(store, chain("b", 2))
    store.flush(10)
    assert store.writer.is_on
    assert read(store, chain("b", 2)) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "renamed"])
def test_bad_files_are_removed_with_one_line(store, tmp_path, caplog, damage):
    """Never served, removed, and the log names the file once."""
    write(store, chain("a", 2))
    store.flush(10)
    (path,) = store.folder.glob("*.safetensors")
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 4]) + whole[-2:])
    elif damage == "foreign":
        path.write_bytes(b"something else entirely" * 9)
    else:
        path = path.rename(path.with_name("1" * 32 + ".safetensors"))
    again = open_store(tmp_path)
    assert read(again, chain("a", 2)) == 0
    again.flush(10)
    assert names(again.folder) == set()
    assert [path.name in line for line in caplog.messages] == [True]


def test_a_draft_of_a_dead_writer_is_removed(store, tmp_path):
    """Drafts are never read; old ones go, those that are being written stay."""
    store.flush(10)
    old, new = (store.folder / f"{name}.safetensors.aa.draft" for name in "xy")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 600,) * 2)
    open_store(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_full_disk_ends_writing_and_nothing_else(store, monkeypatch, caplog):
    """ENOSPC: one log line, no draft left, nothing raised, and what was there is still read."""
    write(store, chain("a", 2))
    store.flush(10)

    def full(handle, buffers):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_all", full)
    for name in "bcd":
        write(store, chain(name, 2))
    assert store.flush(10)
    write(store, chain("e", 2))
    assert store.flush(10)
    assert not store.writer.is_on
    assert not store.lacks(chain("f", 1)[0], DENSE)
    assert read(store, chain("a", 2)) == 2
    assert read(store, chain("b", 2)) == 0
    assert [("No space left" in line) for line in caplog.messages] == [True]
    assert list(store.folder.glob("*.draft")) == []


def test_a_directory_that_cannot_be_made_switches_it_off(tmp_path, caplog):
    """A file in the place of the directory: one log line, no exception."""
    (tmp_path / "cache").write_text("in the way")
    store = open_store(tmp_path / "cache")
    write(store, chain("a", 2))
    assert store.flush(10)
    assert not store.writer.is_on
    assert read(store, chain("a", 2)) == 0
    assert len(caplog.messages) == 1


def test_the_longest_unused_go_first_tails_before_heads(tmp_path):
    """Over its size, the directory loses the oldest chain from its end; the newest stays whole."""
    store = open_store(tmp_path, max_bytes=4 * TWO_PAGES)
    old, new = chain("old", 4), chain("new", 4)
    for digests in (old, new):
        for first in range(0, 4, 2):
            write(store, digests, first, first + 2)
            store.flush(10)
    write(store, chain("new", 6), 4, 6)
    store.flush(10)
    assert size_of(store.folder) <= 4 * TWO_PAGES
    assert (read(store, chain("new", 6)), read(store, old)) == (6, 2)


def test_use_counts(tmp_path):
    """A chain that was read lately outlives one that was written after it."""
    store = open_store(tmp_path, max_bytes=2 * TWO_PAGES)
    write(store, chain("a", 2))
    write(store, chain("b", 2))
    store.flush(10)
    for extent in store.catalog.extents:
        extent.used_ns -= 10**12
        os.utime(extent.path, ns=(extent.used_ns, extent.used_ns))
    store.touch(chain("a", 2))
    store.flush(10)
    write(store, chain("c", 2))
    store.flush(10)
    assert [read(store, chain(name, 2)) for name in "abc"] == [2, 0, 2]


def test_a_tiny_bound_keeps_what_is_pinned(tmp_path, caplog):
    """Pinned chains are never removed for room: what does not fit beside them is not written, and
    one log line says so.
    """
    store = open_store(tmp_path, max_bytes=2 * TWO_PAGES)
    store.pin(Pin(digests=tuple(chain("pinned", 4)), label="book.pdf"))
    for first in (0, 2):
        write(store, chain("pinned", 4), first, first + 2)
    store.flush(10)
    for name in "abc":
        write(store, chain(name, 2))
        store.flush(10)
    assert read(store, chain("pinned", 4)) == 4
    assert [read(store, chain(name, 2)) for name in "abc"] == [0, 0, 0]
    assert len(caplog.messages) == 1
    store.unpin(chain("pinned", 4)[-1])
    write(store, chain("d", 2))
    store.flush(10)
    assert read(store, chain("d", 2)) == 2


def test_time_is_over(tmp_path):
    """Unused for longer than ttl_s, extents go when a process opens the directory; pins stay."""
    store = open_store(tmp_path, ttl_s=3600.0)
    for name in "abp":
        write(store, chain(name, 2))
    store.pin(Pin(digests=tuple(chain("p", 2))))
    store.pin(Pin(digests=tuple(chain("a", 2)), expires_s=time.time() - 1))
    store.flush(10)
    past = time.time() - 4000
    for extent in store.catalog.with_pages([*chain("a", 2), *chain("p", 2)]):
        os.utime(extent.path, (past, past))
    again = open_store(tmp_path, ttl_s=3600.0)
    again.flush(10)
    assert [read(again, chain(name, 2)) for name in "abp"] == [0, 2, 2]
    assert [pin.digests for pin in again.pins().values()] == [tuple(chain("p", 2))]


def test_other_models_share_the_bound(tmp_path):
    """The bound is the directory's: the oldest go, of whichever model."""
    first = open_store(tmp_path, max_bytes=3 * TWO_PAGES)
    write(first, chain("a", 2))
    write(first, chain("b", 2))
    first.flush(10)
    second = open_store(tmp_path, model=b"n" * 32, max_bytes=3 * TWO_PAGES)
    for name in "cd":
        write(second, chain(name, 2))
        second.flush(10)
    first.catalog.refresh(always=True)
    assert [read(first, chain(name, 2)) for name in "ab"] == [0, 2]
    assert [read(second, chain(name, 2)) for name in "cd"] == [2, 2]


def test_pages_without_their_parents_are_not_written(store):
    """An extent whose predecessor is not there could never be found: it takes no room."""
    write(store, chain("a", 4), 2, 4)
    store.flush(10)
    assert names(store.folder) == set()


def test_forgetting_a_salt(store, tmp_path):
    """Extents and pins of one salt go, those that still wait to be written too; others stay."""
    for name, tag in (("a", "alice"), ("b", "bob")):
        write(store, chain(name, 2), tag=tag)
        store.pin(Pin(digests=tuple(chain(name, 2)), salt_tag=tag))
    store.forget("alice")
    store.flush(10)
    again = open_store(tmp_path)
    assert [read(again, chain(name, 2)) for name in "ab"] == [0, 2]
    assert [pin.salt_tag for pin in again.pins().values()] == ["bob"]
    again.forget(None)
    again.flush(10)
    assert (names(store.folder), again.pins()) == (set(), {})


def test_pins_outlive_the_process(store, tmp_path):
    """With label, times and pages; a broken pin file is removed; a replaced pin is one pin."""
    pin = Pin(digests=tuple(chain("a", 3)), salt_tag="t", label="book", expires_s=2e9)
    store.pin(Pin(digests=pin.digests))
    store.pin(pin)
    store.flush(10)
    folder = store.folder / "pins"
    (folder / "00.pin.json").write_text("{")
    (path,) = folder.glob(f"{pin.name.hex()}*")
    (folder / f"{'0' * 64}.pin.json").write_bytes(path.read_bytes())
    again = open_store(tmp_path)
    assert again.pins() == {pin.name: pin}
    assert [file.name for file in folder.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_queue_is_bounded(store, monkeypatch):
    """What waits to be written has a bound; one extent always may wait."""
    assert store.writer.has_room(2**40)
    store.flush(10)
    store.writer.put(lambda: time.sleep(0.2), 60 * 2**20)
    assert store.writer.has_room(2**20)
    assert not store.writer.has_room(8 * 2**20)
    store.flush(10)
    assert store.writer.has_room(8 * 2**20)


def test_a_bug_in_a_job_ends_writing_alone(store, caplog):
    """Whatever a job raises, its thread goes on and nobody waits for ever."""
    store.writer.put(lambda: 1 / 0)
    assert store.flush(10)
    assert not store.writer.is_on
    assert "division" in caplog.text


def test_a_read_goes_on_when_the_system_gives_little(tmp_path, monkeypatch):
    """Writes and reads of a few bytes at a time still make whole extents."""
    writev, preadv = os.writev, os.preadv
    monkeypatch.setattr(os, "writev", lambda handle, b: writev(handle, [b[0][:100]]))
    monkeypatch.setattr(os, "preadv", lambda handle, b, at: preadv(handle, [b[0][:70]], at))
    header = header_of(chain("a", 3), 0, 3)
    files.make_private(tmp_path)
    data = memoryview(data_of(header.digests))
    extent = write_extent(tmp_path, header, [data[:300], data[300:]])
    buffer = bytearray(header.num_bytes)
    views = [memoryview(buffer)[at : at + 64] for at in range(0, len(buffer), 64)]
    store_module.read_pages(extent, views)
    assert buffer == data
