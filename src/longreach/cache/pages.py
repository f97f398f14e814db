"""Page numbers: which are free, owned or cached; their runs and slots. No tensors of keys here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch

KeyRuns = tuple[tuple[int, int, int], ...]
"""(logical_start, physical_start, length) in tokens: a page table as physically contiguous runs."""

_FREE, _TAKEN = 1, 0


class PageAllocator:
    """Every page is in exactly one state: free, owned (refcount > 0) or cached (indexed, unowned).

    Some pages are kept: while cached, they are the last to be evicted.

    Free pages are given lowest number first, in one contiguous run where there is one, so that a
    lone prompt is physically contiguous. Cached pages keep the order of their last use.
    Each page costs O(1); searching free runs is one C scan over a byte per page.
    """

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self.num_free = num_pages
        self._free = bytearray([_FREE]) * num_pages
        self._owners = [0] * num_pages
        self._indexed = bytearray(num_pages)
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._kept = bytearray(num_pages)
        self._cached_kept: OrderedDict[int, None] = OrderedDict()

    @property
    def num_cached(self) -> int:
        """Pages that hold a known prefix and have no owner: they can be evicted."""
        return len(self._cached) + len(self._cached_kept)

    @property
    def num_owned(self) -> int:
        """Pages that some request uses."""
        return self.num_pages - self.num_free - self.num_cached

    def allocate(self, count: int, after: int = -1) -> list[int]:
        """Takes `count` free pages (refcount 1), if possible those that follow page `after`.

        The caller has made room: asking for more than num_free is a bug.
        """
        assert count <= self.num_free, f"{count} pages asked for, {self.num_free} free"
        run = bytes([_FREE]) * count
        start = after + 1 if self._free.startswith(run, after + 1) else self._free.find(run)
        pages = list(range(start, start + count)) if start >= 0 else self._lowest_free(count)
        for page in pages:
            self._free[page] = _TAKEN
            self._owners[page] = 1
        self.num_free -= count
        return pages

    def _lowest_free(self, count: int) -> list[int]:
        pages, at = [], -1
        for _ in range(count):
            at = self._free.find(_FREE, at + 1)
            pages.append(at)
        return pages

    def retain(self, pages: Iterable[int]) -> None:
        """One more owner for each page; cached pages become owned."""
        for page in pages:
            assert not self._free[page], f"page {page} is free"
            self._owners[page] += 1
            self._order_of(page).pop(page, None)

    def release(self, page: int) -> None:
        """One owner less; the last one leaves the page cached (if indexed) or free."""
        assert self._owners[page] > 0, f"page {page} has no owner"
        self._owners[page] -= 1
        if self._owners[page]:
            return
        if self._indexed[page]:
            self._order_of(page)[page] = None
        else:
            self._set_free(page)

    def _order_of(self, page: int) -> OrderedDict[int, None]:
        return self._cached_kept if self._kept[page] else self._cached

    def keep(self, page: int, *, kept: bool) -> None:
        """Make an indexed page one of those that are evicted last, or an ordinary one again.

        If it is cached, it becomes the most recently used of its kind.
        """
        assert self._indexed[page], f"page {page} has no name"
        is_cached = not self._owners[page]
        if is_cached:
            del self._order_of(page)[page]
        self._kept[page] = kept
        if is_cached:
            self._order_of(page)[page] = None

    def set_indexed(self, page: int) -> None:
        """The index names this owned page now: it will be cached when its owners go."""
        assert self._owners[page] > 0, f"page {page} has no owner"
        self._indexed[page] = 1

    def drop_indexed(self, page: int) -> None:
        """The index forgot this page: free when nobody owns it."""
        self._indexed[page] = 0
        if not self._owners[page]:
            del self._order_of(page)[page]
            self._set_free(page)
        self._kept[page] = 0

    def touch(self, page: int) -> None:
        """Makes a cached page the most recently used one; no effect on others."""
        order = self._order_of(page)
        if page in order:
            order.move_to_end(page)

    def least_recent(self) -> int:
        """The cached page to evict next: used the longest ago, of those that are not kept."""
        return next(iter(self._cached or self._cached_kept))

    def cached_pages(self) -> list[int]:
        """Cached pages, the first to be evicted first."""
        return [*self._cached, *self._cached_kept]

    def num_owners(self, page: int) -> int:
        """Number of requests that use the page."""
        return self._owners[page]

    def is_indexed(self, page: int) -> bool:
        """Whether the prefix index names the page."""
        return bool(self._indexed[page])

    def check(self) -> None:
        """Asserts the law: free + cached + owned == all pages, none twice."""
        free = {page for page in range(self.num_pages) if self._free[page]}
        owned = {page for page in range(self.num_pages) if self._owners[page]}
        cached = {*self._cached, *self._cached_kept}
        assert not any(self._kept[page] for page in self._cached)
        assert all(self._kept[page] for page in self._cached_kept)
        assert len(free) == self.num_free
        assert len(free) + len(owned) + len(cached) == self.num_pages
        assert free | owned | cached == set(range(self.num_pages))
        assert all(self._indexed[page] for page in cached)
        assert not any(self._indexed[page] or self._kept[page] for page in free)

    def _set_free(self, page: int) -> None:
        self._free[page] = _FREE
        self.num_free += 1


def pages_for(num_tokens: int, page_size: int) -> int:
    """Number of pages that hold `num_tokens` tokens."""
    return -(-num_tokens // page_size)


def append_page_runs(runs: list[tuple[int, int]], pages: Iterable[int]) -> None:
    """Appends pages to runs of (first page, number of pages), merging neighbours, in place."""
    first, count = runs.pop() if runs else (0, 0)
    for page in pages:
        if count and page == first + count:
            count += 1
            continue
        if count:
            runs.append((first, count))
        first, count = page, 1
    if count:
        runs.append((first, count))


def key_runs(runs: Sequence[tuple[int, int]], page_size: int, num_tokens: int) -> KeyRuns:
    """Runs of pages as runs of tokens, cut to the first `num_tokens`."""
    out, logical = [], 0
    for first, count in runs:
        length = min(count * page_size, num_tokens - logical)
        if length <= 0:
            break
        out.append((logical, first * page_size, length))
        logical += length
    assert logical == num_tokens, f"{num_tokens} tokens, pages for {logical}"
    return tuple(out)


def slots_of(page_ids: Sequence[int], page_size: int, start: int, end: int) -> torch.Tensor:
    """Physical slots (page * page_size + offset) of tokens [start, end). int64 [end - start]."""
    first = start // page_size
    pages = torch.tensor(page_ids[first : pages_for(end, page_size)], dtype=torch.int64)
    positions = torch.arange(start, end)
    return pages[positions // page_size - first] * page_size + positions % page_size
