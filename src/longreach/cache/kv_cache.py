"""The facade that the engine uses: pages for requests, and prefixes found again.

Page numbers (`PageAllocator`), names (`PrefixIndex`) and tensors (`KVPool`) know nothing of each
other; what has to happen together happens here. `_evict` is the one place where content leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from longreach.cache.cached_prefix import CachedPrefix, describe
from longreach.cache.disk import ExtentStore, Part
from longreach.cache.disk_tier import DiskTier
from longreach.cache.hashing import HashChain, chain_seed
from longreach.cache.pages import PageAllocator, pages_for
from longreach.cache.pins import Pin, Pins, salt_tag
from longreach.cache.pool import KVPool
from longreach.cache.prefix import PrefixIndex, SharedTokens
from longreach.cache.provenance import DENSE, Provenance
from longreach.cache.table import PageTable


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Pages by state."""

    num_pages: int
    num_free: int
    num_cached: int
    num_owned: int


class KVCache:
    """Pages of a pool, shared by prefix.

    pool: the tensors, or None where only page numbers are needed.
    fingerprint: see `hashing.fingerprint`; seeds every chain.
    store: where pages outlive the process; needs a pool.
    enable_prefix_caching: False also for temperature_mode "length", where a key depends on more
        than its prefix: nothing is then indexed or found.
    """

    def __init__(
        self,
        num_pages: int,
        page_size: int,
        *,
        fingerprint: bytes = b"",
        enable_prefix_caching: bool = True,
        pool: KVPool | None = None,
        store: ExtentStore | None = None,
    ) -> None:
        self.page_size = page_size
        self.pool = pool
        self.fingerprint = fingerprint
        self.enable_prefix_caching = enable_prefix_caching
        self.allocator = PageAllocator(num_pages)
        self.index = PrefixIndex()
        self.pins = Pins()
        self.disk: DiskTier | None = None
        if store is not None and pool is not None and enable_prefix_caching:
            self.disk = DiskTier(store, pool, self.index)
            self.load_pins()

    # --- looking

    def stats(self) -> CacheStats:
        """Pages by state, now."""
        pages = self.allocator
        return CacheStats(pages.num_pages, pages.num_free, pages.num_cached, pages.num_owned)

    @property
    def num_available(self) -> int:
        """Pages that can be given now: free, or cached and evictable."""
        return self.allocator.num_free + self.allocator.num_cached

    @property
    def num_pages(self) -> int:
        """All pages, whatever their state."""
        return self.allocator.num_pages

    @property
    def bytes_per_page(self) -> int:
        """0 without a pool."""
        return self.pool.bytes_per_page if self.pool is not None else 0

    def pages_for(self, num_tokens: int) -> int:
        """Number of pages that hold `num_tokens` tokens."""
        return pages_for(num_tokens, self.page_size)

    def fits(self, prefix: CachedPrefix, num_tokens: int, num_spare: int = 0) -> bool:
        """Whether a new request for `num_tokens` that owns `prefix` leaves `num_spare` pages."""
        # Pages of the prefix that nobody owns are counted as available, and will be no longer.
        claimed = sum(not self.allocator.num_owners(page) for page in prefix.pages_read)
        new = self.pages_for(num_tokens) - len(prefix.pages)
        return claimed + new + num_spare <= self.num_available

    def open_table(
        self, token_ids: Sequence[int], *, cache_salt: str = "", request_seed: bytes = b""
    ) -> PageTable:
        """An empty page table for a request; hashes the prompt (about 20 ns a token).

        request_seed: what else its keys depend on, such as the base of dynamic NTK.
        """
        seed = chain_seed(self.fingerprint, cache_salt, request_seed)
        chain = HashChain(seed, self.page_size)
        chain.append(token_ids)
        return PageTable(chain, cache_salt)

    def match_prefix(
        self,
        token_ids: Sequence[int],
        cache_salt: str = "",
        wanted: Provenance = DENSE,
        request_seed: bytes = b"",
    ) -> CachedPrefix:
        """The longest cached prefix that serves `wanted`, to the token; changes nothing.

        At least the last token is left to compute, for its logits.
        """
        table = self.open_table(token_ids, cache_salt=cache_salt, request_seed=request_seed)
        return self.match_table(table, wanted)

    def match_table(self, table: PageTable, wanted: Provenance) -> CachedPrefix:
        """`match_prefix` for a table whose chain is hashed already."""
        if not self.enable_prefix_caching:
            return CachedPrefix()
        chain, usable = table.chain, max(table.chain.num_tokens - 1, 0)
        pages, made = self.index.lookup(chain.digests[: usable // self.page_size], wanted)
        next_page = chain.name_of(len(pages), usable)
        shared = self.index.lookup_shared(next_page.parent, next_page.tokens, wanted)
        return describe(pages, made, self.page_size, shared)

    # --- owning

    def start(self, table: PageTable, prefix: CachedPrefix, num_tokens: int) -> None:
        """Makes an empty table own a prefix that was just matched, and pages for `num_tokens`.

        Shared tokens are copied: their page goes on differently for everybody who has it.
        """
        assert not table.pages, "the table already owns pages"
        read = prefix.pages_read
        self.allocator.retain(read)
        table.add_pages(prefix.pages)
        self.extend(table, num_tokens)
        table.num_committed = len(prefix.pages)
        table.num_computed = table.num_found = prefix.num_tokens
        table.made = prefix.made
        if prefix.shared is not None:
            self._copy(prefix.shared, table.pages[len(prefix.pages)])
            table.tail = prefix.shared.made
        for page in read[len(prefix.pages) :]:
            self.allocator.release(page)

    def _copy(self, shared: SharedTokens, page: int) -> None:
        if self.pool is not None:
            self.pool.copy(shared.page, page, shared.num_tokens)

    def num_missing(self, table: PageTable, num_tokens: int) -> int:
        """Pages that the table lacks to hold `num_tokens`."""
        return max(self.pages_for(num_tokens) - len(table.pages), 0)

    def extend(self, table: PageTable, num_tokens: int) -> None:
        """Grows the table to hold `num_tokens`, evicting cached pages where none is free.

        The caller has compared `num_missing` with `num_available`: too few is a bug.
        """
        count = self.num_missing(table, num_tokens)
        assert count <= self.num_available, f"{count} pages asked for, {self.num_available} left"
        if self.allocator.num_free < count:
            self.end_pins()
        while self.allocator.num_free < count:
            self._evict(self.allocator.least_recent())
        if count:
            last = table.pages[-1] if table.pages else -1
            table.add_pages(self.allocator.allocate(count, after=last))

    def commit(self, table: PageTable, num_computed_tokens: int, provenance: Provenance) -> None:
        """Indexes the pages filled by the rows just computed, up to `num_computed_tokens`.

        provenance: of these rows. The rows before them were committed by earlier calls.
        """
        if not self.enable_prefix_caching:
            return
        made = table.made = provenance.after(table.made)
        table.num_computed = num_computed_tokens
        full = num_computed_tokens // self.page_size
        for at in range(table.num_committed, full):
            # A page that an earlier call began was made by both.
            page_made = made.mixed_with(table.tail) if table.tail is not None else made
            table.tail = None
            if self._name_page(table, at, page_made):
                table.count_named(at)
        table.num_committed = max(full, table.num_committed)
        if num_computed_tokens % self.page_size:
            table.tail = made if table.tail is None else made.mixed_with(table.tail)
        if self.disk is not None:
            self.disk.note(table)

    def _name_page(self, table: PageTable, at: int, made: Provenance) -> bool:
        """Index a page, as far as it was computed; whether its name leads to it now."""
        page, name = table.pages[at], table.chain.name_of(at, table.num_computed)
        self.allocator.set_indexed(page)
        old = self.index.page_of(name.digest)
        # A page that nobody owns may be evicted, and with it the names of all that follow.
        is_idle = old is not None and not self.allocator.num_owners(old)
        ended = self.index.insert(name, page, made, table.cache_salt, replace_equal=is_idle)
        for dropped in ended:
            self.allocator.drop_indexed(dropped)
        if page in ended:
            return False
        if self.pins.covers(name.digest):
            self.allocator.keep(page, kept=True)
        return True

    def release(self, table: PageTable) -> None:
        """Gives all pages back; those with computed tokens stay cached. The chain is kept.

        Last page first: so the head of a chain is always younger than its tail, and evicted later.
        """
        unfinished = self._name_unfinished(table)
        if self.disk is not None:
            self.disk.note_end(table, unfinished)
        for at in reversed(range(len(table.pages))):
            self.allocator.release(table.pages[at])
            if at < table.num_committed:
                # Another request's page may hold the entry: using ours was using that.
                named = self.index.page_of(table.chain.digests[at])
                if named is not None:
                    self.allocator.touch(named)
        table.clear()

    def _name_unfinished(self, table: PageTable) -> bytes | None:
        """Index the tokens after the last full page; the digest they have now."""
        at = table.num_committed
        if table.tail is None or not self._name_page(table, at, table.tail):
            return None
        table.count_named(at)
        return table.chain.name_of(at, table.num_computed).digest

    # --- restoring

    def find_on_disk(
        self, table: PageTable, wanted: Provenance, prefix: CachedPrefix
    ) -> list[Part]:
        """What goes on from a prefix's full pages on disk, where it is more than in memory.

        `prefix` is what `match_table` has found; its shared tokens are of no use with these parts.
        """
        if self.disk is None:
            return []
        chain, usable = table.chain, max(table.chain.num_tokens - 1, 0)
        digests = chain.digests[: usable // self.page_size]
        parts = self.disk.find(digests, len(prefix.pages), wanted)
        end = len(prefix.pages) + sum(part.count for part in parts)
        more = self.disk.find_shared(chain.name_of(end, usable), end, wanted)
        in_memory = 0 if parts or prefix.shared is None else prefix.shared.num_tokens
        if more is not None and more.num_shared > in_memory:
            parts.append(more)
        return parts

    def read_part(self, table: PageTable, part: Part) -> bool:
        """Read a part into the table's pages; False when the file is gone or broken.

        Parts may be read in any order, in several threads, while the table owns its pages.
        """
        assert self.disk is not None, "a part without a disk"
        return self.disk.read(part, table.pages[part.at : part.at + part.count])

    def take_part(self, table: PageTable, part: Part) -> None:
        """Index the pages of a part that was read."""
        assert part.at == table.num_committed, "parts are taken in order"
        end = part.at + part.count
        table.num_computed = table.num_found = part.at * self.page_size + part.num_tokens
        for at, made in zip(range(part.at, end), part.made, strict=True):
            table.made = made.after(table.made)
            if part.num_shared:
                table.tail = made
            else:
                self._name_page(table, at, made)
        table.num_committed = table.num_computed // self.page_size

    def held_prefix(self, table: PageTable) -> CachedPrefix:
        """What a table holds, described as if it had just been found."""
        digests = table.chain.digests[: table.num_committed]
        made = [self.index.made_of(digest) for digest in digests]
        pages, num_shared = table.pages[: len(digests)], table.num_computed % self.page_size
        shared = None
        if table.tail is not None:
            shared = SharedTokens(table.pages[len(digests)], num_shared, table.tail)
        return describe(pages, made, self.page_size, shared)

    # --- pins

    def pin(self, pin: Pin) -> None:
        """Evict the pages of this prefix last, from now on or from when they are computed.

        They are given to running requests all the same when nothing else is left.
        """
        self._put_pin(pin)
        if self.disk is not None:
            self.disk.pin(pin)

    def unpin(self, name: bytes) -> bool:
        """End the pin of this name; whether there was one."""
        self.load_pins()
        is_pinned = self.pins.get(name) is not None
        self._keep(self.pins.remove(name), kept=False)
        if is_pinned and self.disk is not None:
            self.disk.store.unpin(name)
        return is_pinned

    def load_pins(self) -> None:
        """Learn of pins that were made or ended elsewhere: before this process, or beside it."""
        found = None if self.disk is None else self.disk.store.pins()
        if found is None:
            return
        for pin in found.values():
            if self.pins.get(pin.name) != pin and not pin.is_over(self.pins.now()):
                self._put_pin(pin)
        for pin in self.pins:
            if pin.name not in found:
                self._keep(self.pins.remove(pin.name), kept=False)

    def _put_pin(self, pin: Pin) -> None:
        self._keep(self.pins.remove(pin.name), kept=False)
        self.pins.put(pin)
        self._keep(pin.digests, kept=True)

    def end_pins(self) -> None:
        """End the pins whose time is over; their files go when the disk next makes room."""
        if self.pins.over():
            self.load_pins()  # some may have been renewed elsewhere
        for pin in self.pins.over():
            self._keep(self.pins.remove(pin.name), kept=False)

    def _keep(self, digests: Sequence[bytes], *, kept: bool) -> None:
        # Last page first, as in release: heads outlive tails.
        for digest in reversed(digests):
            page = self.index.page_of(digest)
            if page is not None:
                self.allocator.keep(page, kept=kept)

    # --- forgetting

    def forget_unused(self, cache_salt: str | None = None) -> int:
        """Frees the cached pages that nobody owns, of one salt or (None) of all; how many.

        Pins of that salt end, and what is on disk is removed.
        """
        self._forget_elsewhere(cache_salt)
        before = self.allocator.num_cached
        for page in self.allocator.cached_pages():
            # A page may have gone with the one before it in its chain.
            named = self.allocator.is_indexed(page)
            if named and cache_salt in (None, self.index.salt_of(page)):
                self._evict(page)
        return before - self.allocator.num_cached

    def _forget_elsewhere(self, cache_salt: str | None) -> None:
        if self.disk is not None:
            self.disk.forget(cache_salt)
        for pin in self.pins:
            if cache_salt is None or salt_tag(cache_salt) == pin.salt_tag:
                self.unpin(pin.name)

    def _evict(self, page: int) -> None:
        for dropped in self.index.remove(page):
            self.allocator.drop_indexed(dropped)

    # --- laws

    def check(self, tables: Iterable[PageTable] = ()) -> None:
        """Asserts the laws of the cache; given all live tables, also the count of owners."""
        self.allocator.check()
        self.index.check()
        named = set(self.index.pages())
        assert named == {p for p in range(self.allocator.num_pages) if self.allocator.is_indexed(p)}
        rank = {page: at for at, page in enumerate(self.allocator.cached_pages())}
        for page, at in rank.items():
            parent = self.index.parent_page(page)
            assert parent is None or parent not in rank or rank[parent] > at, (
                f"page {parent} would be evicted before page {page}, which needs it"
            )
        self._check_owners(list(tables))

    def _check_owners(self, tables: list[PageTable]) -> None:
        if not tables:
            return
        owners = [0] * self.allocator.num_pages
        for table in tables:
            assert len(set(table.pages)) == len(table.pages), "a page twice in one table"
            for page in table.pages:
                owners[page] += 1
        assert owners == [self.allocator.num_owners(p) for p in range(len(owners))]
