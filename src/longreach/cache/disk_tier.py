"""Pages of a pool and the extents on disk: written behind, read ahead of the prompt.

All of it runs in the engine's thread, between steps; the store's writer does the waiting. Pages are
copied when they are handed to the writer: their slots may be given to somebody else meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from longreach.cache.disk import ExtentStore, Header, Part
from longreach.cache.page_bytes import NOWHERE, copy_pages, fill_pages
from longreach.cache.pins import Pin, salt_tag
from longreach.cache.prefix import PrefixIndex

if TYPE_CHECKING:
    from longreach.cache.hashing import PageName
    from longreach.cache.pool import KVPool
    from longreach.cache.provenance import Provenance
    from longreach.cache.table import PageTable

logger = logging.getLogger(__name__)

MAX_BACKLOG = 8192
"""Extents that wait for room in the writer's queue; more are not written."""
CLOSE_S = 30.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """Pages of a chain that shall be on disk, from page `first` on."""

    first: int
    digests: tuple[bytes, ...]
    salt_tag: str

    @property
    def name(self) -> tuple[int, bytes]:
        """Of two wishes of one name, the second asks for nothing more."""
        return self.first, self.digests[-1]


class DiskTier:
    """Writes the named pages of a pool to a store, and reads them back.

    index: what the pages are. Extents are cut at multiples of the layout's pages_per_extent, and
    where a request ended: so no page is written twice, however an answer grows.
    """

    def __init__(self, store: ExtentStore, pool: KVPool, index: PrefixIndex) -> None:
        self.store = store
        self._pool = pool
        self._index = index
        self._backlog: deque[_Wish] = deque()
        self._wished: set[tuple[int, bytes]] = set()
        self._has_told_overflow = False

    # --- writing

    @property
    def has_work(self) -> bool:
        """Whether `pump` could hand something to the writer now."""
        return bool(self._backlog) and self.store.writer.has_room(self._extent_bytes)

    @property
    def _extent_bytes(self) -> int:
        return self.store.layout.pages_per_extent * self.store.layout.bytes_per_page

    def note(self, table: PageTable) -> None:
        """More pages of a table have names; whole extents of them are written."""
        end = table.num_committed
        end -= end % self.store.layout.pages_per_extent
        self._want(table, table.chain.digests, end)

    def note_end(self, table: PageTable, unfinished: bytes | None) -> None:
        """No more names will follow: all was used, and what is missing is written.

        unfinished: the name of the page after the committed ones, if it has one.
        """
        digests = table.chain.digests[: table.num_committed]
        if unfinished is not None:
            digests.append(unfinished)
        self.store.touch(digests)
        self._want(table, digests, len(digests))

    def _want(self, table: PageTable, digests: Sequence[bytes], end: int) -> None:
        self._wish(digests, table.num_saved, end, salt_tag(table.cache_salt))
        table.num_saved = max(end, table.num_saved)
        self.pump()

    def pin(self, pin: Pin) -> None:
        """Remember a pin, and write what is missing of its pages."""
        self.store.pin(pin)
        self._wish(pin.digests, 0, len(pin.digests), pin.salt_tag)
        self.pump()

    def _wish(self, digests: Sequence[bytes], first: int, end: int, tag: str) -> None:
        """Want pages [first, end) of a chain on disk, an extent at a time."""
        step = self.store.layout.pages_per_extent
        while first < end:
            last = min((first // step + 1) * step, end)
            wish = _Wish(first, tuple(digests[first:last]), tag)
            if wish.name not in self._wished and any(map(self._is_lacking, wish.digests)):
                if len(self._wished) >= MAX_BACKLOG:
                    self._tell_overflow()
                    return
                self._backlog.append(wish)
                self._wished.add(wish.name)
            first = last

    def _tell_overflow(self) -> None:
        if not self._has_told_overflow:
            self._has_told_overflow = True
            logger.warning(
                "disk cache: %d extents wait to be written, what comes now is not kept on disk",
                len(self._wished),
            )

    def pump(self) -> None:
        """Hand to the writer what it has room for; nothing waits here."""
        while self.has_work:
            wish = self._backlog.popleft()
            self._wished.discard(wish.name)
            for header in self._headers(wish):
                found = [self._index.page_of(digest) for digest in header.digests]
                pages = [page for page in found if page is not None]
                self.store.write(header, copy_pages(self._pool, pages, header.num_tokens))

    def forget(self, cache_salt: str | None) -> None:
        """Remove what is on disk, and on its way there, of one salt or (None) of all."""
        tag = None if cache_salt is None else salt_tag(cache_salt)
        left = [wish for wish in self._backlog if tag not in (None, wish.salt_tag)]
        self._backlog = deque(left)
        self._wished = {wish.name for wish in left}
        self.store.forget(tag)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Write what was wished for, as far as there is time."""
        end_s = time.monotonic() + timeout_s
        self.pump()
        while self._backlog and time.monotonic() < end_s and self.store.flush(1.0):
            self.pump()
        self.store.close(max(end_s - time.monotonic(), 0.0))

    def _headers(self, wish: _Wish) -> Iterator[Header]:
        """The runs of its pages that are still in memory and not on disk."""
        lacking = [self._is_lacking(digest) for digest in wish.digests]
        for is_lacking, run in groupby(range(len(lacking)), key=lacking.__getitem__):
            if is_lacking:
                places = list(run)
                yield self._header([wish.digests[p] for p in places], wish.first + places[0], wish)

    def _header(self, digests: list[bytes], first: int, wish: _Wish) -> Header:
        found = [(self._index.name_of(digest), self._index.made_of(digest)) for digest in digests]
        pages = [(name, made) for name, made in found if name is not None and made is not None]
        return Header(
            layout=self.store.layout,
            first_page=first,
            parent=pages[0][0].parent,
            digests=tuple(name.digest for name, _ in pages),
            tokens=tuple(name.tokens for name, _ in pages),
            made=tuple(made for _, made in pages),
            salt_tag=wish.salt_tag,
            created_s=time.time(),
        )

    def _is_lacking(self, digest: bytes) -> bool:
        made = self._index.made_of(digest)
        return made is not None and self.store.lacks(digest, made)

    # --- reading

    def find(self, digests: Sequence[bytes], start: int, wanted: Provenance) -> list[Part]:
        """Where the pages of a chain from page `start` on are, as far as they serve."""
        return self.store.find(digests, start, wanted)

    def find_shared(self, name: PageName, at: int, wanted: Provenance) -> Part | None:
        """A page whose first tokens are those of `name`, page `at` of a chain, or some of them."""
        return self.store.find_shared(name, at, wanted)

    def prefetch(self, parts: Sequence[Part]) -> None:
        """These parts will be read soon."""
        for part in parts:
            self.store.prefetch(part.extent)

    def read(self, part: Part, pages: Sequence[int]) -> bool:
        """Fill these pages with those of a part; False when it is gone or broken."""
        extent = part.extent
        targets = [NOWHERE] * extent.header.num_pages
        targets[part.first : part.first + part.count] = pages
        return fill_pages(self._pool, targets, lambda buffers: self.store.read(extent, buffers))
