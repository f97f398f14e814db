"""What a folder holds, as prefixes that people know: a document with the questions asked of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from longreach.cache.disk.extent import EXTENT_TOKENS, Extent
from longreach.cache.disk.room import last_use
from longreach.cache.pins import Pin

ID_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The longest chain from one beginning, with the short ones that leave it on their way.

    model: its name. chain: extents of the prefix, the first one first; own: those that belong to
    no other entry, branches included. num_branches: questions and answers that leave the chain.
    pins: those that want any page of it.
    """

    model: str
    chain: tuple[Extent, ...] = field(repr=False)
    own: tuple[Extent, ...] = field(repr=False)
    num_branches: int
    pins: tuple[Pin, ...]

    @property
    def id(self) -> str:
        """Names it: the digest of its last page, in part."""
        return self.digests[-1].hex()[:ID_DIGITS]

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Of its pages, in order."""
        pages: list[bytes] = []
        for extent in self.chain:
            header = extent.header
            pages[header.first_page :] = header.digests
        return tuple(pages)

    @property
    def num_tokens(self) -> int:
        """Of the whole prefix."""
        last = self.chain[-1].header
        return last.first_page * last.layout.page_size + last.num_tokens

    @property
    def num_bytes(self) -> int:
        """Of its own files."""
        return sum(extent.size for extent in self.own)

    @property
    def created_s(self) -> float:
        """When its first file was written, Unix time."""
        return min(extent.header.created_s for extent in self.own)

    @property
    def used_s(self) -> float:
        """When any of it was used last, Unix time."""
        return max(last_use(extent) for extent in self.own) / 1e9

    @property
    def salt_tag(self) -> str:
        """Whose it is."""
        return self.chain[0].header.salt_tag

    @property
    def label(self) -> str:
        """The name that the newest pin gives it."""
        named = [pin for pin in self.pins if pin.label]
        return max(named, key=lambda pin: pin.created_s).label if named else ""

    @property
    def modes(self) -> tuple[str, ...]:
        """How its pages were made: "dense", or sparse modes."""
        return tuple(sorted({made.mode for e in self.chain for made in e.header.made}))


def entries_of(extents: Iterable[Extent], pins: Iterable[Pin], model: str) -> list[Entry]:
    """Every extent that can be reached, in one entry each; those used last come first."""
    tree = _Tree(extents)
    found = [
        Entry(
            model=model,
            chain=chain,
            own=own,
            num_branches=branches,
            pins=tuple(_pins_of(own, pins)),
        )
        for root in tree.roots
        for chain, own, branches in tree.walk(root)
    ]
    return sorted(found, key=lambda entry: -entry.used_s)


def orphans_of(extents: Iterable[Extent]) -> list[Extent]:
    """Extents whose beginning is not there: nothing can find them."""
    listed = list(extents)
    reached = {extent for entry in entries_of(listed, (), "") for extent in entry.own}
    return [extent for extent in listed if extent not in reached]


def _pins_of(extents: Iterable[Extent], pins: Iterable[Pin]) -> Iterator[Pin]:
    pages = {digest for extent in extents for digest in extent.header.digests}
    for pin in pins:
        if not pages.isdisjoint(pin.digests):
            yield pin


class _Tree:
    """Extents and those that go on from them."""

    def __init__(self, extents: Iterable[Extent]) -> None:
        listed = sorted(extents, key=lambda extent: extent.header.first_page)
        home = {digest: extent for extent in listed for digest in extent.header.digests}
        self.roots = [extent for extent in listed if extent.header.first_page == 0]
        self._children: Mapping[Extent, list[Extent]] = defaultdict(list)
        self._ends: dict[Extent, int] = {}
        for extent in reversed(listed):
            below = [self._ends[child] for child in self._children[extent]]
            own_end = extent.header.first_page + extent.header.num_pages
            self._ends[extent] = max([own_end, *below])
            parent = home.get(extent.header.parent)
            if extent.header.first_page and parent is not None:
                self._children[parent].append(extent)

    def walk(self, root: Extent) -> Iterator[tuple[tuple[Extent, ...], tuple[Extent, ...], int]]:
        """(chain, own extents, branches) of the entries that begin with this extent."""
        begun: list[tuple[list[Extent], Extent]] = [([], root)]
        while begun:
            before, first = begun.pop()
            chain, own, branches = [*before, first], [first], 0
            while True:
                following = self._following(chain[-1])
                for child in self._children[chain[-1]]:
                    if child is following:
                        continue
                    if self._is_short(child):
                        own += self._all(child)
                        branches += 1
                    else:
                        begun.append(([*chain], child))
                if following is None:
                    break
                chain.append(following)
                own.append(following)
            yield tuple(chain), tuple(own), branches

    def _following(self, extent: Extent) -> Extent | None:
        """The one that goes on for longest, if any goes beyond the extent itself."""
        own_end = extent.header.first_page + extent.header.num_pages
        longest = max(self._children[extent], key=self._ends.__getitem__, default=None)
        return longest if longest is not None and self._ends[longest] > own_end else None

    def _is_short(self, extent: Extent) -> bool:
        header = extent.header
        return (self._ends[extent] - header.first_page) * header.layout.page_size <= EXTENT_TOKENS

    def _all(self, extent: Extent) -> list[Extent]:
        found, stack = [], [extent]
        while stack:
            found.append(stack.pop())
            stack += self._children[found[-1]]
        return found
