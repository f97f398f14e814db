"""Page numbers, runs and slots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.cache import HashChain, PageAllocator, PageTable
from longreach.cache.pages import append_page_runs, pages_for


def states(pages):
    return pages.num_free, pages.num_cached, pages.num_owned


def test_lowest_first_and_contiguous():
    """Free pages are given lowest first, so that a lone prompt is contiguous."""
    pages = PageAllocator(8)
    assert pages.allocate(3) == [0, 1, 2]
    assert pages.allocate(2) == [3, 4]
    assert pages.allocate(0) == []


def test_prefers_a_contiguous_run():
    """A hole that is too small is left for smaller requests while a large one exists."""
    pages = PageAllocator(8)
    for page in pages.allocate(3)[:2]:
        pages.release(page)
    assert pages.allocate(3) == [3, 4, 5]
    assert pages.allocate(1) == [0]
    assert pages.allocate(3) == [1, 6, 7]


def test_prefers_to_continue():
    """Pages that follow the last one are taken before lower ones."""
    pages = PageAllocator(8)
    for page in pages.allocate(3)[:2]:
        pages.release(page)
    assert pages.allocate(2, after=2) == [3, 4]
    assert pages.allocate(2, after=7) == [0, 1]


def test_owners_are_counted():
    """A page is free when its last owner goes, and not before."""
    pages = PageAllocator(2)
    [page] = pages.allocate(1)
    pages.retain([page])
    pages.release(page)
    assert states(pages) == (1, 0, 1)
    pages.release(page)
    assert states(pages) == (2, 0, 0)
    pages.check()


def test_indexed_pages_stay_cached():
    """An indexed page without owners is cached: it can be taken back, touched and dropped."""
    pages = PageAllocator(3)
    for page in pages.allocate(2):
        pages.set_indexed(page)
        pages.release(page)
    assert states(pages) == (1, 2, 0)
    assert pages.least_recent() == 0
    pages.touch(0)
    assert pages.least_recent() == 1
    pages.retain([1])
    assert states(pages) == (1, 1, 1)
    pages.drop_indexed(0)
    pages.drop_indexed(1)
    assert states(pages) == (2, 0, 1)
    pages.release(1)
    assert states(pages) == (3, 0, 0)
    pages.check()


@pytest.mark.parametrize(
    "misuse",
    [
        lambda pages: pages.allocate(3),
        lambda pages: pages.release(1),
        lambda pages: pages.retain([1]),
        lambda pages: pages.set_indexed(1),
    ],
)
def test_misuse_is_a_bug(misuse):
    """Taking what is not there fails at once."""
    pages = PageAllocator(2)
    pages.allocate(1)
    with pytest.raises(AssertionError):
        misuse(pages)


@pytest.mark.parametrize(("tokens", "pages"), [(0, 0), (1, 1), (3, 1), (4, 1), (5, 2), (8, 2)])
def test_pages_for(tokens, pages):
    """A token more than a page needs another page."""
    assert pages_for(tokens, 4) == pages


def table_of(page_ids):
    """A table of four tokens to a page."""
    table = PageTable(HashChain(b"", 4))
    table.add_pages(page_ids)
    return table


def test_runs_by_hand():
    """Neighbours merge; the last run is cut at the last token."""
    assert table_of([5, 6, 2, 3, 4, 9]).runs(22) == ((0, 20, 8), (8, 8, 12), (20, 36, 2))
    assert table_of([5, 6]).runs(4) == ((0, 20, 4),)
    assert table_of([]).runs(0) == ()
    with pytest.raises(AssertionError):
        table_of([1]).runs(5)


@given(st.permutations(range(12)), st.integers(0, 48), st.data())
def test_runs_and_slots_agree(page_ids, num_tokens, data):
    """Runs and slots are two views of one page table, wherever it is cut."""
    table = table_of(page_ids)
    slots = [slot for _, at, n in table.runs(num_tokens) for slot in range(at, at + n)]
    assert slots == [page_ids[i // 4] * 4 + i % 4 for i in range(num_tokens)]
    start = data.draw(st.integers(0, num_tokens))
    assert table.slots(start, num_tokens).tolist() == slots[start:]


@given(st.lists(st.integers(0, 6), max_size=20), st.integers(0, 20))
def test_runs_grow_in_any_pieces(page_ids, cut):
    """Runs grown in two pieces are those of the whole."""
    grown, whole = [], []
    append_page_runs(grown, page_ids[:cut])
    append_page_runs(grown, page_ids[cut:])
    append_page_runs(whole, page_ids)
    assert grown == whole
