"""Which files go: the longest unused when there are too many, and all whose time is over.

A chain loses its last extent first, so that what is left of it can still be read. What is pinned
stays: when nothing else is left, there is no room.
"""

from __future__ import annotations

import heapq
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from longreach.cache.disk.catalog import Catalog
from longreach.cache.disk.extent import Extent
from longreach.cache.disk.pin_files import PinFiles
from longreach.config import DiskCacheConfig

RESERVE_BYTES = 2**30
"""Left free on the disk for everybody else, or a twentieth of it where that is less."""
EXPIRE_S = 600.0
"""How often the times of all files are looked at."""
PINS = "pins"


class Shelf:
    """One model's folder: its extents, and its pins."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.pins = PinFiles(catalog.folder / PINS)

    def remove_old(self, ttl_s: float) -> int:
        """Remove what nobody used for so long; how many files."""
        before_ns = time.time_ns() - int(ttl_s * 1e9)
        pinned = self.pinned()
        old = [
            extent
            for extent in self.catalog.extents
            if extent not in pinned and last_use(extent) < before_ns
        ]
        for extent in old:
            self.catalog.remove(extent)
        return len(old)

    def pinned(self) -> set[Extent]:
        """What has to stay. Pins whose time is over end."""
        now_s = time.time()
        pinned: set[Extent] = set()
        for name, pin in self.pins.load().items():
            if pin.is_over(now_s):
                self.pins.remove(name)
            else:
                pinned.update(self.catalog.with_pages(pin.digests))
        return pinned


def last_use(extent: Extent) -> int:
    """Nanoseconds of Unix time; also of uses by other processes. 0 for a file that is gone."""
    try:
        extent.used_ns = max(extent.used_ns, extent.path.stat().st_mtime_ns)
    except OSError:
        extent.used_ns = 0
    return extent.used_ns


class _Leaves:
    """The extents of some shelves that may go, the longest unused first.

    They are those that no other goes on from: what can be removed and leave no orphan.
    """

    def __init__(self, shelves: list[Shelf], keep: Extent | None) -> None:
        self._shelf_of = {extent: shelf for shelf in shelves for extent in shelf.catalog.extents}
        self._parents = {
            extent: shelf.catalog.extent_of(extent.header.parent)
            for extent, shelf in self._shelf_of.items()
        }
        self._num_children = Counter(self._parents.values())
        self._kept = {keep}.union(*(shelf.pinned() for shelf in shelves))
        self._heap: list[tuple[int, str, Extent]] = []
        for extent in self._shelf_of:
            self._offer(extent)

    def _offer(self, extent: Extent) -> None:
        if not self._num_children[extent] and extent not in self._kept:
            heapq.heappush(self._heap, (extent.used_ns, str(extent.path), extent))

    def remove_oldest(self) -> int | None:
        """Remove the file that was not used for the longest time; its bytes, None if none may go.

        The extent that it went on from may be next.
        """
        while self._heap:
            used_ns, _, extent = heapq.heappop(self._heap)
            if last_use(extent) > used_ns:  # by another process
                self._offer(extent)
                continue
            self._shelf_of[extent].catalog.remove(extent)
            parent = self._parents[extent]
            if parent is not None:
                self._num_children[parent] -= 1
                self._offer(parent)
            return extent.size
        return None


class Room:
    """The directory's bound, over the folders of all models. For one thread.

    own: the folder that is written. shelves: of the others, each read when first needed.
    """

    def __init__(
        self, config: DiskCacheConfig, own: Shelf, others: Callable[[], list[Path]]
    ) -> None:
        self._config = config
        self._own = own
        self._others = others
        self._shelves: dict[Path, Shelf] = {}
        self._expire_again_s = 0.0

    def make(self, size: int, keep: Extent | None) -> bool:
        """Remove files until `size` more bytes fit; False where that cannot be.

        keep: stays, since what is to be written goes on from it.
        """
        shelves = self._all()
        missing = sum(shelf.catalog.num_bytes for shelf in shelves) + size - self._bound(shelves)
        leaves = _Leaves(shelves, keep) if missing > 0 else None
        while leaves is not None and missing > 0:
            removed = leaves.remove_oldest()
            if removed is None:
                return False
            missing -= removed
        return True

    def expire(self, *, always: bool = False) -> None:
        """Remove what nobody used for the configured time, now and then."""
        now_s = time.monotonic()
        if self._config.ttl_s is None or (now_s < self._expire_again_s and not always):
            return
        self._expire_again_s = now_s + EXPIRE_S
        for shelf in self._all():
            shelf.remove_old(self._config.ttl_s)

    def _bound(self, shelves: list[Shelf]) -> int:
        """Bytes that files may have now: as configured, and without filling the disk."""
        used = sum(shelf.catalog.num_bytes for shelf in shelves)
        bound = self._config.max_bytes
        with suppress(OSError):
            disk = shutil.disk_usage(self._config.directory)
            bound = min(bound, used + disk.free - min(RESERVE_BYTES, disk.total // 20))
        return bound

    def _all(self) -> list[Shelf]:
        for folder in self._others():
            if folder not in self._shelves and folder != self._own.catalog.folder:
                self._shelves[folder] = Shelf(Catalog(folder))
        shelves = [self._own, *self._shelves.values()]
        for shelf in shelves:
            shelf.catalog.refresh()
        return shelves
