"""What a folder holds, as people would say it."""

from longreach.cache.disk.entries import entries_of, orphans_of
from longreach.cache.pins import Pin
from support.extents import chain, write

TOKENS = 8
"""Of a page."""


def entries(store, pins=()):
    store.flush(10)
    return entries_of(store.catalog.extents, pins, "tiny")


def branch(digests, at, name, num_pages):
    """A chain that leaves another one after `at` pages."""
    return [*digests[:at], *chain(name, num_pages)]


def test_a_document_and_its_questions_are_one_entry(store):
    """Short chains that leave a long one are counted with it, with their bytes."""
    document = chain("document", 6)
    write(store, document)
    for name in "abc":
        write(store, branch(document, 5, name, 2), 5, 7)
    longest = [*document, *chain("end", 3)]
    write(store, longest, 6, 9)
    (entry,) = entries(store)
    assert (entry.num_tokens, entry.num_branches, len(entry.own)) == (9 * TOKENS, 3, 5)
    assert entry.num_bytes == store.catalog.num_bytes
    assert entry.digests == tuple(longest)
    assert entry.id == longest[-1].hex()[:12]
    assert (entry.model, entry.label, entry.pins, entry.modes) == ("tiny", "", (), ("dense",))


def test_two_documents_behind_one_beginning_are_two_entries(store, monkeypatch):
    """What leaves a chain for long is an entry of its own; shared bytes count once."""
    monkeypatch.setattr("longreach.cache.disk.entries.EXTENT_TOKENS", 2 * TOKENS)
    system = chain("system", 2)
    write(store, system)
    for name, length in (("long", 6), ("longer", 7)):
        write(store, branch(system, 2, name, length), 2, 2 + length)
    first, second = sorted(entries(store), key=lambda entry: entry.num_tokens)
    assert (first.num_tokens, second.num_tokens) == (8 * TOKENS, 9 * TOKENS)
    assert first.digests[:2] == second.digests[:2] == tuple(system)
    assert first.num_bytes + second.num_bytes == store.catalog.num_bytes
    assert len(first.own) == 1


def test_pins_name_an_entry(store):
    """An entry has the pins of any of its pages, and the newest label."""
    document = chain("document", 4)
    write(store, document)
    write(store, chain("other", 2))
    pins = [
        Pin(digests=tuple(document[:2]), label="old", created_s=1.0),
        Pin(digests=tuple(document), label="book", created_s=2.0),
    ]
    book = next(entry for entry in entries(store, pins) if entry.pins)
    assert (book.label, len(book.pins), book.num_tokens) == ("book", 2, 4 * TOKENS)
    assert sum(bool(entry.pins) for entry in entries(store, pins)) == 1


def test_orphans_are_in_no_entry(store):
    """Extents whose beginning is gone, and those behind them, are found apart."""
    digests = chain("a", 9)
    for first in (0, 3, 6):
        write(store, digests, first, first + 3)
    store.flush(10)
    head = next(e for e in store.catalog.extents if e.header.first_page == 0)
    store.catalog.remove(head)
    assert entries(store) == []
    assert len(orphans_of(store.catalog.extents)) == 2
