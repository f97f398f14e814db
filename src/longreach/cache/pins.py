"""Prefixes that stay until their time is over."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


def salt_tag(cache_salt: str) -> str:
    """A name for a salt that does not tell it: for what outlives the process."""
    return hashlib.sha256(b"longreach salt" + cache_salt.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One pinned prefix. Its name is the digest of its last page.

    digests: of its pages, in order. salt_tag: whose it is, see `salt_tag`. label: for people.
    created_s, expires_s: Unix time; None: until it is unpinned.
    """

    digests: tuple[bytes, ...]
    salt_tag: str = ""
    label: str = ""
    created_s: float = field(default_factory=time.time)
    expires_s: float | None = None

    @property
    def name(self) -> bytes:
        """The digest of its last page."""
        return self.digests[-1]

    def is_over(self, now_s: float) -> bool:
        """Whether its time has passed."""
        return self.expires_s is not None and self.expires_s <= now_s


class Pins:
    """Pins by name, and for each page how many of them cover it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.now = clock
        self._pins: dict[bytes, Pin] = {}
        self._covering: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._pins)

    def __iter__(self) -> Iterator[Pin]:
        return iter(list(self._pins.values()))

    def get(self, name: bytes) -> Pin | None:
        """The pin that ends with this page."""
        return self._pins.get(name)

    def covers(self, digest: bytes) -> bool:
        """Whether any pin wants this page."""
        return digest in self._covering

    def covering(self, digest: bytes) -> list[Pin]:
        """The pins that want this page."""
        if digest not in self._covering:
            return []
        return [pin for pin in self._pins.values() if digest in pin.digests]

    def put(self, pin: Pin) -> None:
        """Add a pin; one of the same name ends."""
        self.remove(pin.name)
        self._pins[pin.name] = pin
        self._covering.update(pin.digests)

    def remove(self, name: bytes) -> tuple[bytes, ...]:
        """End a pin, if it is there; the pages that no pin wants any more, in order."""
        pin = self._pins.pop(name, None)
        if pin is None:
            return ()
        self._covering.subtract(pin.digests)
        freed = tuple(digest for digest in pin.digests if not self._covering[digest])
        for digest in freed:
            del self._covering[digest]
        return freed

    def over(self) -> list[Pin]:
        """Those whose time has passed."""
        now_s = self.now()
        return [pin for pin in self._pins.values() if pin.is_over(now_s)]
