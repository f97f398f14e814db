"""The prefix index: digest of a chain -> page, with provenance. Knows no tensors and no owners."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from longreach.cache.hashing import MAX_SIBLINGS, PageName, num_shared_tokens
from longreach.cache.provenance import Provenance


@dataclass(slots=True)
class _Entry:
    name: PageName
    page: int
    provenance: Provenance
    salt: str


@dataclass(frozen=True, slots=True)
class SharedTokens:
    """The first `num_tokens` of a page, which are also those that follow a prefix; how made."""

    page: int
    num_tokens: int
    made: Provenance


class PrefixIndex:
    """A forest of pages; every entry's parent is an entry, so each entry can be reached.

    Leaves may be unfinished: pages that hold fewer tokens than a page can.
    """

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self._digest_of: dict[int, bytes] = {}
        self._children: dict[bytes, dict[bytes, None]] = {}

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

    def lookup_shared(
        self, parent: bytes, tokens: bytes, wanted: Provenance
    ) -> SharedTokens | None:
        """The page after `parent` that serves and shares the most leading tokens; None: no token.

        tokens: int32 ids that follow the prefix, at most a page of them.
        """
        best = None
        for entry in self._siblings(parent):
            shared = num_shared_tokens(entry.name.tokens, tokens)
            if shared > (best.num_tokens if best else 0) and entry.provenance.serves(wanted):
                best = SharedTokens(entry.page, shared, entry.provenance)
        return best

    def _siblings(self, parent: bytes) -> Iterator[_Entry]:
        """The newest entries that go on from a digest; entries may go meanwhile."""
        newest = list(islice(reversed(self._children.get(parent, {})), MAX_SIBLINGS))
        found = (self._entries.get(digest) for digest in newest)
        return (entry for entry in found if entry is not None)

    def insert(
        self,
        name: PageName,
        page: int,
        provenance: Provenance,
        salt: str = "",
        *,
        replace_equal: bool = False,
    ) -> list[int]:
        """Names `page`; returns the pages whose entry ended: old ones, or `page` itself.

        salt: what the chain was seeded with, see `salt_of`.

        The new page takes the entry unless the old one already serves all that it would;
        replace_equal: also when both serve the same. A page
        whose parent is not (or no longer) indexed could never be found, so it is not taken either.
        Unfinished pages end when a page holds their tokens and more, and serves as much.
        """
        old = self._entries.get(name.digest)
        if old is not None:
            ended = self._replace(old, page, provenance, replace_equal)
        elif self._takes(name, provenance):
            self._children.setdefault(name.parent, {})[name.digest] = None
            self._entries[name.digest] = _Entry(name, page, provenance, salt)
            self._digest_of[page] = name.digest
            ended = []
        else:
            ended = [page]
        return ended if page in ended else ended + self._end_shorter(name, provenance)

    def _takes(self, name: PageName, provenance: Provenance) -> bool:
        """Whether a new name could be found, and no sibling has its tokens and more."""
        return (name.is_first or name.parent in self._entries) and not any(
            other.name.extends(name) and other.provenance.serves(provenance)
            for other in self._siblings(name.parent)
        )

    def _replace(
        self, old: _Entry, page: int, provenance: Provenance, replace_equal: bool
    ) -> list[int]:
        if old.page == page:
            return []
        if old.provenance.serves(provenance) and not (
            replace_equal and provenance.serves(old.provenance)
        ):
            return [page]
        ended = old.page
        del self._digest_of[ended]
        self._digest_of[page] = old.name.digest
        old.page, old.provenance = page, provenance
        return [ended]

    def _end_shorter(self, name: PageName, provenance: Provenance) -> list[int]:
        """Forget the unfinished siblings of which a page has all tokens, made as well."""
        shorter = [
            other.page
            for other in self._siblings(name.parent)
            if name.extends(other.name) and provenance.serves(other.provenance)
        ]
        return [ended for page in shorter for ended in self.remove(page)]

    def page_of(self, digest: bytes) -> int | None:
        """The page that holds the entry of `digest`, None when there is none."""
        entry = self._entries.get(digest)
        return None if entry is None else entry.page

    def name_of(self, digest: bytes) -> PageName | None:
        """All of the name that `digest` stands for, None when there is no entry."""
        entry = self._entries.get(digest)
        return None if entry is None else entry.name

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
        parent = self._entries[top].name.parent
        del self._children[parent][top]
        if not self._children[parent]:
            del self._children[parent]
        removed, stack = [], [top]
        while stack:
            digest = stack.pop()
            entry = self._entries.pop(digest)
            del self._digest_of[entry.page]
            removed.append(entry.page)
            stack.extend(self._children.pop(digest, ()))
        return removed

    def parent_page(self, page: int) -> int | None:
        """The page before `page` in its chain; None for a first page."""
        parent = self._entries.get(self._entries[self._digest_of[page]].name.parent)
        return None if parent is None else parent.page

    def pages(self) -> list[int]:
        """All pages that have an entry."""
        return list(self._digest_of)

    def check(self) -> None:
        """Asserts: one page per entry, one entry per page, every parent present and aware."""
        assert len(self._entries) == len(self._digest_of)
        for digest, entry in self._entries.items():
            assert entry.name.digest == digest == self._digest_of[entry.page]
            assert entry.name.is_first or entry.name.parent in self._entries
            assert digest in self._children[entry.name.parent]
        assert sum(map(len, self._children.values())) == len(self._entries)
