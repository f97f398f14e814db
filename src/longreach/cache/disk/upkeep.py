"""A cache directory seen from outside an engine: all models, their prefixes, and their care."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from longreach.cache.disk.catalog import Catalog
from longreach.cache.disk.entries import Entry, entries_of, orphans_of
from longreach.cache.disk.extent import Extent, read_pages
from longreach.cache.disk.room import Room, Shelf
from longreach.cache.disk.store import MODEL_FILE, list_models, model_folders
from longreach.cache.pins import Pin
from longreach.config import DiskCacheConfig
from longreach.errors import CacheFileError, InvalidRequestError


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What `sweep` removed. num_bytes: of all files that went."""

    num_orphans: int
    num_files: int
    num_bytes: int


class CacheDirectory:
    """Reads and changes a directory that engines may use at the same time. Raises OSError."""

    def __init__(self, config: DiskCacheConfig) -> None:
        self._config = config
        self._shelves = {
            _model_of(folder): Shelf(Catalog(folder)) for folder in list_models(config.directory)
        }

    @property
    def num_bytes(self) -> int:
        """Of all extents."""
        return sum(shelf.catalog.num_bytes for shelf in self._shelves.values())

    def entries(self) -> list[Entry]:
        """Prefixes of all models, those used last first."""
        now_s = time.time()
        found = [
            entry
            for (model, _), shelf in self._shelves.items()
            for entry in entries_of(
                shelf.catalog.extents,
                [pin for pin in shelf.pins.load().values() if not pin.is_over(now_s)],
                model,
            )
        ]
        return sorted(found, key=lambda entry: -entry.used_s)

    def find(self, name: str) -> Entry:
        """The one whose id begins like this, or that has this label. Raises InvalidRequestError."""
        found = [e for e in self.entries() if name and (e.id.startswith(name) or e.label == name)]
        if len(found) == 1:
            return found[0]
        what = "the label or the first digits of the id of one entry"
        many = f"; {len(found)} begin so" if found else "; `longreach cache list` shows them"
        raise InvalidRequestError("id", name, what + many)

    def pin(self, entry: Entry, *, ttl_s: float | None, label: str) -> Pin:
        """Keep a prefix; engines that run learn of it with their next question."""
        now_s = time.time()
        pin = Pin(
            digests=entry.digests,
            salt_tag=entry.salt_tag,
            label=label or entry.label,
            created_s=now_s,
            expires_s=None if ttl_s is None else now_s + ttl_s,
        )
        self._shelf_of(entry).pins.save(pin)
        return pin

    def unpin(self, entry: Entry) -> int:
        """End every pin of a prefix; how many."""
        pins = self._shelf_of(entry).pins
        for pin in entry.pins:
            pins.remove(pin.name)
        if any(pin.name in pins.load() for pin in entry.pins):
            raise _stays(pins.folder)
        return len(entry.pins)

    def remove(self, entry: Entry) -> int:
        """Remove a prefix with its pins, and what goes on from it; bytes that went."""
        self.unpin(entry)
        catalog, before = self._shelf_of(entry).catalog, self.num_bytes
        with self._all_go():
            for extent in reversed(entry.own):
                catalog.remove(extent)
            for orphan in orphans_of(catalog.extents):
                catalog.remove(orphan)
        return before - self.num_bytes

    @contextmanager
    def _all_go(self) -> Iterator[None]:
        """Raise PermissionError where a file that was removed is still there.

        An engine does not mind, it forgets the extent. Whoever removes private text has to know.
        """
        before = self._extents()
        yield
        for extent in before - self._extents():
            if extent.path.exists():
                raise _stays(extent.path)

    def verify(self) -> tuple[int, list[str]]:
        """Read everything: number of sound files, and why each of the others was removed."""
        reasons: list[str] = []
        count = 0
        with self._all_go():
            for shelf in self._shelves.values():
                for extent in shelf.catalog.extents:
                    reason = _fault_of(extent)
                    count += reason is None
                    if reason is not None:
                        reasons.append(reason)
                        shelf.catalog.remove(extent, reason)
        return count, reasons

    def sweep(self) -> Swept:
        """Remove orphans, what nobody used for the time to live, and what is too much."""
        before, files = self.num_bytes, len(self._extents())
        with self._all_go():
            orphans = self._remove_orphans()
            for shelf in list(self._shelves.values())[:1]:
                room = Room(self._config, shelf, partial(model_folders, self._config.directory))
                room.expire(always=True)
                room.make(0, None)
            for shelf in self._shelves.values():
                shelf.catalog.refresh(always=True)
        return Swept(
            num_orphans=orphans,
            num_files=files - len(self._extents()),
            num_bytes=before - self.num_bytes,
        )

    def _remove_orphans(self) -> int:
        count = 0
        for shelf in self._shelves.values():
            for orphan in orphans_of(shelf.catalog.extents):
                shelf.catalog.remove(orphan)
                count += 1
        return count

    def _extents(self) -> set[Extent]:
        return {extent for shelf in self._shelves.values() for extent in shelf.catalog.extents}

    def _shelf_of(self, entry: Entry) -> Shelf:
        folder = entry.chain[0].path.parent
        return next(s for s in self._shelves.values() if s.catalog.folder == folder)


def _model_of(folder: Path) -> tuple[str, str]:
    """(name, folder's name), the name as the engine was asked for it."""
    name = "?"
    with suppress(OSError, ValueError, KeyError, TypeError):
        name = str(json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))["model"])
    return name, folder.name


def _stays(path: Path) -> PermissionError:
    return PermissionError(errno.EACCES, "cannot be removed", str(path))


def _fault_of(extent: Extent) -> str | None:
    try:
        read_pages(extent, [memoryview(bytearray(extent.header.num_bytes))])
    except (CacheFileError, FileNotFoundError) as error:
        return str(error)
    return None
