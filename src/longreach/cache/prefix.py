"""The prefix index: digest of a chain -> page, with provenance. Knows no tensors and no owners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from longreach.cache.provenance import Provenance


@dataclass(slots=True)
class _Entry:
    page: int
    provenance: Provenance
    parent: bytes
    salt: str
    children: set[bytes] = field(default_factory=set)


ROOT = b""
"""Parent of the first page of every chain."""


class PrefixIndex:
    """A forest of pages; every entry's parent is an entry, so each entry can be reached."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._digest_of: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def lookup(
        self, digests: Sequence[bytes], wanted: Provenance
    ) -> tuple[list[int], list[Provenance]]:
        """Pages (and provenances) of the longest prefix that serves; ends at the first miss."""
        pages: list[int] = []
        provenances: list[Provenance] = []
        for digest in digests:
            entry = self._entries.get(digest)
            if entry is None or not entry.provenance.serves(wanted):
                break
            pages.append(entry.page)
            provenances.append(entry.provenance)
        return pages, provenances

    def insert(
        self, digest: bytes, parent: bytes, page: int, provenance: Provenance, salt: str = ""
    ) -> list[int]:
        """Names `page`; returns the pages whose entry ended: none, the old page, or `page` itself.

        salt: what the chain was seeded with, see `salt_of`.

        The new page takes the entry unless the old one already serves all that it would. A page
        whose parent is not (or no longer) indexed could never be found, so it is not taken either.
        """
        old = self._entries.get(digest)
        if old is not None:
            return self._replace(digest, old, page, provenance)
        if parent != ROOT:
            if parent not in self._entries:
                return [page]
            self._entries[parent].children.add(digest)
        self._entries[digest] = _Entry(page, provenance, parent, salt)
        self._digest_of[page] = digest
        return []

    def _replace(self, digest: bytes, old: _Entry, page: int, provenance: Provenance) -> list[int]:
        if old.page == page:
            return []
        if old.provenance.serves(provenance):
            return [page]
        ended = old.page
        del self._digest_of[ended]
        self._digest_of[page] = digest
        old.page, old.provenance = page, provenance
        return [ended]

    def page_of(self, digest: bytes) -> int | None:
        """The page that holds the entry of `digest`, None when there is none."""
        entry = self._entries.get(digest)
        return None if entry is None else entry.page

    def made_of(self, digest: bytes) -> Provenance | None:
        """How the page of `digest` was made, None when there is none."""
        entry = self._entries.get(digest)
        return None if entry is None else entry.provenance

    def salt_of(self, page: int) -> str:
        """Whose page it is: the salt that its entry was made with."""
        return self._entries[self._digest_of[page]].salt

    def remove(self, page: int) -> list[int]:
        """Forgets the entry of `page` and all that can only be reached through it; their pages."""
        top = self._digest_of[page]
        parent = self._entries[top].parent
        if parent != ROOT:
            self._entries[parent].children.discard(top)
        removed, stack = [], [top]
        while stack:
            entry = self._entries.pop(stack.pop())
            del self._digest_of[entry.page]
            removed.append(entry.page)
            stack.extend(entry.children)
        return removed

    def clear(self) -> list[int]:
        """Forgets everything; returns the pages that had entries."""
        pages = list(self._digest_of)
        self._entries.clear()
        self._digest_of.clear()
        return pages

    def parent_page(self, page: int) -> int | None:
        """The page before `page` in its chain; None for a first page."""
        parent = self._entries[self._digest_of[page]].parent
        return None if parent == ROOT else self._entries[parent].page

    def pages(self) -> list[int]:
        """All pages that have an entry."""
        return list(self._digest_of)

    def check(self) -> None:
        """Asserts: one page per entry, one entry per page, every parent present and aware."""
        assert len(self._entries) == len(self._digest_of)
        for digest, entry in self._entries.items():
            assert self._digest_of[entry.page] == digest
            assert entry.parent == ROOT or digest in self._entries[entry.parent].children
            assert all(self._entries[child].parent == digest for child in entry.children)
