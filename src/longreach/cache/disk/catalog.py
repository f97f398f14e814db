"""What one model's folder holds: digest -> the extent that has the page, and where in it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import RLock

from longreach.cache.disk.extent import SUFFIX, Extent, Layout, read_header
from longreach.cache.disk.files import remove_drafts, remove_file
from longreach.cache.hashing import MAX_SIBLINGS, PageName, num_shared_tokens
from longreach.cache.provenance import Provenance
from longreach.errors import CacheFileError

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often other processes' files are looked for, at most."""


@dataclass(frozen=True, slots=True)
class Part:
    """Pages [first, first + count) of an extent, which are pages [at, at + count) of a chain.

    num_shared: 0, or how many leading tokens of its one page are the chain's: no more of it are.
    """

    extent: Extent
    first: int
    count: int
    at: int
    num_shared: int = 0

    @property
    def num_tokens(self) -> int:
        """Tokens of the chain that it has."""
        return self.num_shared or self.count * self.extent.header.layout.page_size

    @property
    def made(self) -> tuple[Provenance, ...]:
        """How each of its pages was made."""
        return self.extent.header.made[self.first : self.first + self.count]


class Catalog:
    """The extents of a folder. Thread-safe. Files that come and go are expected.

    layout: of the model's pages; None takes files of any.
    """

    def __init__(self, folder: Path, layout: Layout | None = None) -> None:
        self.folder = folder
        self.layout = layout
        self._files: dict[str, Extent] = {}
        self._pages: dict[bytes, tuple[Extent, int]] = {}
        self._children: dict[bytes, dict[bytes, None]] = {}
        self._num_held: dict[Extent, int] = {}
        self._looked_ns = -1
        self._look_again_s = 0.0
        self._lock = RLock()
        self.refresh(always=True)

    @property
    def extents(self) -> list[Extent]:
        """All of them."""
        with self._lock:
            return list(self._files.values())

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        with self._lock:
            return sum(extent.size for extent in self._files.values())

    # --- looking

    def find(self, digests: Sequence[bytes], start: int, wanted: Provenance) -> list[Part]:
        """The longest run of pages from page `start` of a chain on that serves `wanted`."""
        parts: list[Part] = []
        with self._lock:
            for at in range(start, len(digests)):
                extent, place = self._pages.get(digests[at], (None, 0))
                if extent is None or not extent.header.made[place].serves(wanted):
                    break
                last = parts[-1] if parts else None
                if last and last.extent is extent and last.first + last.count == place:
                    parts[-1] = replace(last, count=last.count + 1)
                else:
                    parts.append(Part(extent, place, 1, at))
        return parts

    def find_shared(self, name: PageName, at: int, wanted: Provenance) -> Part | None:
        """The page that serves and shares most leading tokens with `name`, page `at` of a chain.

        None where none shares a token.
        """
        best = None
        with self._lock:
            for extent, place in self._siblings(name.parent):
                header = extent.header
                shared = num_shared_tokens(header.tokens[place], name.tokens)
                if shared > (best.num_shared if best else 0) and header.made[place].serves(wanted):
                    best = Part(extent, place, 1, at, num_shared=shared)
        return best

    def _siblings(self, parent: bytes) -> list[tuple[Extent, int]]:
        """The pages known last that go on from a digest."""
        newest = islice(reversed(self._children.get(parent, {})), MAX_SIBLINGS)
        return [self._pages[digest] for digest in newest]

    def holds(self, digest: bytes, made: Provenance) -> bool:
        """Whether a page that serves all that one made like `made` would is there."""
        with self._lock:
            extent, place = self._pages.get(digest, (None, 0))
            return extent is not None and extent.header.made[place].serves(made)

    def extent_of(self, digest: bytes) -> Extent | None:
        """The extent that has this page."""
        with self._lock:
            return self._pages.get(digest, (None, 0))[0]

    def with_pages(self, digests: Iterable[bytes]) -> list[Extent]:
        """The extents that have any of these pages, each once."""
        with self._lock:
            found = (self._pages.get(digest) for digest in digests)
            return list(dict.fromkeys(entry[0] for entry in found if entry is not None))

    # --- changing

    def add(self, extent: Extent) -> None:
        """Know an extent; files that it makes superfluous (or it itself) are removed."""
        with self._lock:
            if extent.path.name in self._files:
                return
            self._files[extent.path.name] = extent
            self._num_held[extent] = 0
            for place, digest in enumerate(extent.header.digests):
                self._offer(digest, extent, place)
            self._drop_if_empty(extent)

    def _offer(self, digest: bytes, extent: Extent, place: int) -> None:
        old, old_place = self._pages.get(digest, (None, 0))
        if old is not None:
            if not _beats(extent, place, old, old_place):
                return
            self._leave(digest, old)
        elif any(_extends(*other, extent, place) for other in self._around(extent, place)):
            return
        for other, there in self._around(extent, place):
            if _extends(extent, place, other, there):
                self._leave(other.header.digests[there], other)
        self._pages[digest] = (extent, place)
        self._children.setdefault(extent.header.name_of(place).parent, {})[digest] = None
        self._num_held[extent] += 1

    def _around(self, extent: Extent, place: int) -> list[tuple[Extent, int]]:
        return self._siblings(extent.header.name_of(place).parent)

    def _leave(self, digest: bytes, extent: Extent) -> None:
        """A page is held by this extent no longer."""
        self._unlist(digest)
        self._num_held[extent] -= 1
        self._drop_if_empty(extent)

    def _unlist(self, digest: bytes) -> None:
        extent, place = self._pages.pop(digest)
        parent = extent.header.name_of(place).parent
        del self._children[parent][digest]
        if not self._children[parent]:
            del self._children[parent]

    def _drop_if_empty(self, extent: Extent) -> None:
        if not self._num_held[extent]:
            self.remove(extent)

    def remove(self, extent: Extent, why: str = "") -> None:
        """Forget an extent and remove its file."""
        with self._lock:  # or a look in between would find the file again
            self.forget(extent)
            remove_file(extent.path, why)

    def forget(self, extent: Extent) -> None:
        """Know an extent no more; its file is gone."""
        with self._lock:
            # A look at the folder may have found the file anew since the caller got its extent.
            known = self._files.pop(extent.path.name, None)
            if known is None:
                return
            del self._num_held[known]
            for digest in known.header.digests:
                if self._pages.get(digest, (None, 0))[0] is known:
                    self._unlist(digest)

    def refresh(self, *, always: bool = False) -> None:
        """See what other processes wrote and removed, if the folder changed since the last look."""
        now_s = time.monotonic()
        if not always and now_s < self._look_again_s:
            return
        with self._lock:
            self._look_again_s = now_s + LOOK_S
            try:
                changed_ns = self.folder.stat().st_mtime_ns
                if changed_ns == self._looked_ns:
                    return
                names = {entry.name for entry in os.scandir(self.folder) if entry.is_file()}
            except (FileNotFoundError, NotADirectoryError):
                names, changed_ns = set(), -1
            except OSError as error:  # such as no free handle: the next look may see more
                logger.warning("disk cache: %s: %s", self.folder, error.strerror)
                return
            self._looked_ns = changed_ns
            self._take(names)

    def _take(self, names: set[str]) -> None:
        for name in self._files.keys() - names:
            self.forget(self._files[name])
        new = [name for name in sorted(names - self._files.keys()) if name.endswith(SUFFIX)]
        extents = [extent for name in new if (extent := self._read(self.folder / name))]
        # As they were written: of pages that share as much, the newest is taken, as in memory.
        for extent in sorted(extents, key=lambda extent: extent.header.created_s):
            self.add(extent)
        remove_drafts(self.folder)

    def _read(self, path: Path) -> Extent | None:
        """The extent of a file that is one; any other is removed, if it could be read."""
        try:
            extent = read_header(path)
        except OSError:
            self._looked_ns = -1
            return None
        except CacheFileError as error:
            remove_file(path, str(error))
            return None
        if self.layout is not None and extent.header.layout != self.layout:
            remove_file(path, f"its pages are {extent.header.layout}, not {self.layout}")
            return None
        return extent


def _extends(new: Extent, place: int, old: Extent, old_place: int) -> bool:
    """Whether a page has all tokens of an unfinished one, and more, made as well."""
    longer = new.header.name_of(place).extends(old.header.name_of(old_place))
    return longer and new.header.made[place].serves(old.header.made[old_place])


def _beats(new: Extent, place: int, old: Extent, old_place: int) -> bool:
    """Whether `new` shall have a page that `old` has, too: the better made one, else the earlier.

    Every process decides alike, so that none removes what another one keeps.
    """
    ours, theirs = new.header.made[place], old.header.made[old_place]
    if ours.serves(theirs) != theirs.serves(ours):
        return ours.serves(theirs)
    return (new.header.created_s, new.path.name) < (old.header.created_s, old.path.name)
