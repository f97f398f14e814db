"""The extents of one model, in a directory that other models and processes may use, too.

Looking and reading happen in the caller's thread, writing in the writer's. Files that are of no use
are removed by whoever finds them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from longreach.cache.disk.catalog import Catalog, Part
from longreach.cache.disk.extent import (
    FORMAT,
    Extent,
    Header,
    Layout,
    file_size,
    read_pages,
    write_extent,
)
from longreach.cache.disk.files import Buffers, make_private, remove_drafts, write_file
from longreach.cache.disk.room import Room, Shelf
from longreach.cache.disk.writer import Writer
from longreach.cache.hashing import PageName
from longreach.cache.pins import Pin
from longreach.cache.provenance import Provenance
from longreach.config import DiskCacheConfig
from longreach.errors import CacheFileError

logger = logging.getLogger(__name__)

EXTENTS = "extents"
MODEL_FILE = "model.json"
CLOSE_S = 30.0
TOUCH_NS = 60 * 10**9
"""A use so soon after the last one is not written down."""


def list_models(directory: Path) -> list[Path]:
    """The folders of all models in a cache directory. Raises OSError where it cannot be read."""
    if not directory.exists():
        return []
    if EXTENTS not in {path.name for path in directory.iterdir()}:
        return []
    return sorted(path for path in (directory / EXTENTS).iterdir() if path.is_dir())


def model_folders(directory: Path) -> list[Path]:
    """The same for an engine, to which nothing is there that it cannot read."""
    with suppress(OSError):
        return list_models(directory)
    return []


class ExtentStore:
    """Extents of the model that `fingerprint` names, with pages of `layout`.

    name: of the model, for people. Nothing here raises: what cannot be written or read is not
    there, and one log line says why.
    """

    def __init__(
        self, config: DiskCacheConfig, fingerprint: bytes, layout: Layout, *, name: str = ""
    ) -> None:
        seed = b"|".join((FORMAT.encode(), fingerprint, repr(layout).encode()))
        self.layout = layout
        self.folder = config.directory / EXTENTS / hashlib.sha256(seed).hexdigest()[:32]
        self.writer = Writer()
        self.catalog = Catalog(self.folder, layout)
        self._name = name
        self._shelf = Shelf(self.catalog)
        self._room = Room(config, self._shelf, partial(model_folders, config.directory))
        self._pending: dict[bytes, Provenance] = {}
        self._pin_jobs: set[object] = set()
        self._has_told_no_room = False
        self.writer.put(self._open)
        weakref.finalize(self, self.writer.close, CLOSE_S)

    def _open(self) -> None:
        """Make the folder, say whose it is, and remove what is too old."""
        for directory in (self.folder.parent.parent, self.folder.parent, self.folder):
            make_private(directory)
            remove_drafts(directory)
        path = self.folder / MODEL_FILE
        if not path.exists():
            write_file(path, [json.dumps({"model": self._name}).encode()])
        self._room.expire()

    # --- reading

    def find(self, digests: Sequence[bytes], start: int, wanted: Provenance) -> list[Part]:
        """The longest run of pages from page `start` of a chain on that serves `wanted`."""
        self.catalog.refresh()
        return self.catalog.find(digests, start, wanted)

    def find_shared(self, name: PageName, at: int, wanted: Provenance) -> Part | None:
        """The page that serves and shares most leading tokens with `name`, page `at` of a chain."""
        return self.catalog.find_shared(name, at, wanted)

    def read(self, extent: Extent, buffers: Buffers) -> bool:
        """Fill the buffers with an extent's data; False when that cannot be.

        A broken file is removed, one that cannot be read now stays for later.
        """
        try:
            read_pages(extent, buffers)
        except CacheFileError as error:
            self.writer.put(partial(self.catalog.remove, extent, str(error)))
            self.catalog.forget(extent)
            return False
        except FileNotFoundError:
            self.catalog.forget(extent)
            return False
        except OSError as error:
            logger.warning("disk cache: %s cannot be read: %s", extent.path, error.strerror)
            return False
        return True

    def prefetch(self, extent: Extent) -> None:
        """Have the system read a file that will be wanted soon, where it can."""
        advise = getattr(os, "posix_fadvise", None)
        with suppress(OSError):
            handle = os.open(extent.path, os.O_RDONLY)
            try:
                if advise is not None:
                    advise(handle, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(handle)

    def touch(self, digests: Iterable[bytes]) -> None:
        """These pages were used now: they go later than others."""
        now_ns = time.time_ns()
        used = self.catalog.with_pages(digests)
        old = [extent for extent in used if now_ns - extent.used_ns > TOUCH_NS]
        for extent in used:
            extent.used_ns = now_ns
        if old:
            self.writer.put(partial(_set_times, old, now_ns))

    # --- writing

    def lacks(self, digest: bytes, made: Provenance) -> bool:
        """Whether a page made like this is neither there nor on its way."""
        if not self.writer.is_on:
            return False
        pending = self._pending.get(digest)
        on_its_way = pending is not None and pending.serves(made)
        return not (on_its_way or self.catalog.holds(digest, made))

    def write(self, header: Header, buffers: Buffers) -> None:
        """Write pages soon. The buffers are the store's from now on."""
        self._pending.update(zip(header.digests, header.made, strict=True))
        self.writer.put(partial(self._write, header, buffers), header.num_bytes)

    def _write(self, header: Header, buffers: Buffers) -> None:
        try:
            self._room.expire()
            parent = self.catalog.extent_of(header.parent)
            # Without the pages before them these could never be found.
            if header.first_page and parent is None:
                return
            if self._room.make(file_size(header), parent):
                self.catalog.add(write_extent(self.folder, header, buffers))
            else:
                self._tell_no_room()
        except FileNotFoundError:
            logger.warning("disk cache: %s was removed by somebody", self.folder)
            self._open()
        finally:
            for digest in header.digests:
                self._pending.pop(digest, None)

    def _tell_no_room(self) -> None:
        if not self._has_told_no_room:
            self._has_told_no_room = True
            logger.warning(
                "disk cache: not all is kept: what is pinned, and what is being read, fills the "
                "cache's size, or the disk is nearly full (%s)",
                self.folder,
            )

    def forget(self, salt_tag: str | None) -> None:
        """Remove the extents and pins of one salt or (None) of all, those on their way too."""
        self._forget(salt_tag)
        self.writer.put(partial(self._forget, salt_tag))

    def _forget(self, salt_tag: str | None) -> None:
        for name, pin in self._shelf.pins.load().items():
            if salt_tag in (None, pin.salt_tag):
                self._shelf.pins.remove(name)
        for extent in self.catalog.extents:
            if salt_tag in (None, extent.header.salt_tag):
                self.catalog.remove(extent)

    # --- pins

    def pins(self) -> dict[bytes, Pin] | None:
        """Pins by name, as of now; None while some are on their way, or cannot be written."""
        if self._pin_jobs or not self.writer.is_on:
            return None
        return self._shelf.pins.load()

    def pin(self, pin: Pin) -> None:
        """Keep these pages until the pin's time is over."""
        self._put_pin_job(partial(self._shelf.pins.save, pin))

    def unpin(self, name: bytes) -> None:
        """End a pin."""
        self._put_pin_job(partial(self._shelf.pins.remove, name))

    def _put_pin_job(self, change: partial[None]) -> None:
        def run() -> None:
            try:
                change()
            finally:
                self._pin_jobs.discard(change)

        if self.writer.is_on:
            self._pin_jobs.add(change)
            self.writer.put(run)

    # --- its end

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is written; False when that took too long."""
        return self.writer.flush(timeout_s)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Write what is waiting, as far as there is time, and no more."""
        if not self.writer.close(timeout_s):
            logger.warning("disk cache: not all was written in time")


def _set_times(extents: Iterable[Extent], used_ns: int) -> None:
    for extent in extents:
        with suppress(OSError):
            os.utime(extent.path, ns=(used_ns, used_ns))
