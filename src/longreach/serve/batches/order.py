"""Which request runs next: those that begin with the same text one after another.

A request whose beginning is being read by another one waits for it, and then finds it in the
prefix cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

BLOCK = 1024
"""Bytes of a prompt that are told apart by one digest; a few hundred tokens."""
MIN_SHARED = 4
"""Blocks in common that are worth waiting for."""
_DIGEST_BYTES = 8


def prefix_key(prompt: bytes) -> bytes:
    """Digests of a prompt's blocks: 1/128 of its size, and sorted as prompts with equal beginnings.

    Keys share as many digests at their beginning as their prompts share whole blocks.
    """
    return b"".join(
        hashlib.blake2b(prompt[start : start + BLOCK], digest_size=_DIGEST_BYTES).digest()
        for start in range(0, len(prompt) - BLOCK + 1, BLOCK)
    )


def num_shared(a: bytes, b: bytes) -> int:
    """Blocks that two keys have in common at their beginning."""
    limit = min(len(a), len(b)) // _DIGEST_BYTES
    for index in range(limit):
        here = slice(index * _DIGEST_BYTES, (index + 1) * _DIGEST_BYTES)
        if a[here] != b[here]:
            return index
    return limit


def leaders_of(keys: Sequence[bytes]) -> list[int | None]:
    """For each of the sorted keys, the first one that shares with it as much as any before does.

    None where that is less than MIN_SHARED blocks.
    """
    leaders: list[int | None] = []
    # Open groups, from the outermost: (blocks that all members share, its first member).
    groups: list[tuple[int, int]] = []
    for index, key in enumerate(keys):
        shared = num_shared(keys[index - 1], key) if index else 0
        first = max(index - 1, 0)
        while groups and groups[-1][0] > shared:
            first = groups.pop()[1]
        if groups and groups[-1][0] == shared:
            first = groups[-1][1]
        elif shared >= MIN_SHARED:
            groups.append((shared, first))
        leaders.append(first if shared >= MIN_SHARED else None)
    return leaders


class PrefixQueue(Generic[T]):
    """Items in the order of their keys, each kept back until its leader is done."""

    def __init__(self, keyed: Iterable[tuple[bytes, T]]) -> None:
        ordered = sorted(keyed, key=lambda pair: pair[0])
        self._items = [item for _, item in ordered]
        self._followers: dict[int, list[int]] = {}
        self._ready: list[int] = []
        for index, leader in enumerate(leaders_of([key for key, _ in ordered])):
            if leader is None:
                self._ready.append(index)
            else:
                self._followers.setdefault(leader, []).append(index)
        self._num_left = len(self._items)
        self._changed = asyncio.Condition()

    async def take(self) -> tuple[int, T] | None:
        """The next item and its ticket for `done`, as soon as it may run; None after the last."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ready or not self._num_left)
            if not self._num_left:
                return None
            self._num_left -= 1
            if not self._num_left:
                self._changed.notify_all()
            ticket = heapq.heappop(self._ready)
            return ticket, self._items[ticket]

    async def done(self, ticket: int) -> None:
        """An item has been run: what waited for it may run."""
        async with self._changed:
            for follower in self._followers.pop(ticket, ()):
                heapq.heappush(self._ready, follower)
            self._changed.notify_all()
