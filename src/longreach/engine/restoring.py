"""Requests whose pages come from disk: a little between any two steps, all of it when alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING

from longreach.engine.request import Request, RequestState

if TYPE_CHECKING:
    from longreach.cache import CachedPrefix, KVCache

LONE_S = 0.1
"""How long restoring goes on while nothing else runs; then aborts and progress are looked at."""
ASSUMED_BYTES_PER_S = 1e9
AHEAD = 4
"""Extents that the system reads while one is copied and checked."""
READERS = 2
"""Extents that are copied and checked at once where nothing else runs."""


class Restorer:
    """Brings the pages of started requests back, the oldest request first.

    bytes_per_s: as measured so far, an assumption before.
    """

    def __init__(self, cache: KVCache) -> None:
        self._cache = cache
        self._num_bytes = 0
        self._seconds = 0.0

    @property
    def bytes_per_s(self) -> float:
        """Of everything restored so far; an assumption before."""
        return self._num_bytes / self._seconds if self._num_bytes else ASSUMED_BYTES_PER_S

    def begin(self, request: Request, prefix: CachedPrefix) -> bool:
        """Look for pages on disk that go on from those found in memory; whether there are."""
        if request.reuse_prefix:
            request.parts.extend(self._cache.find_on_disk(request.table, request.wanted, prefix))
        if request.parts and self._cache.disk is not None:
            # Used now, not when the request ends: what is written meanwhile needs room.
            self._cache.disk.store.touch(request.table.chain.digests)
        self._prefetch(request, 0, AHEAD)
        return bool(request.parts)

    def _prefetch(self, request: Request, first: int, end: int) -> None:
        parts = list(islice(request.parts, first, end))
        if parts and self._cache.disk is not None:
            self._cache.disk.prefetch(parts)

    def step(self, running: Sequence[Request]) -> None:
        """Restore one extent, more where nothing else runs."""
        waiting = [r for r in running if r.state is RequestState.RESTORING]
        if not waiting:
            return
        start_s = perf_counter()
        is_alone = len(waiting) == len(running)
        oldest = waiting[0]
        # Whatever happens, nothing writes to pages of a request after this step.
        with ThreadPoolExecutor(READERS, "longreach-restore") as readers:
            while oldest.parts:
                self._restore(oldest, readers, READERS if is_alone else 1)
                if perf_counter() - start_s >= (LONE_S if is_alone else 0.0):
                    break
        self._seconds += perf_counter() - start_s
        if not oldest.parts:
            self._end(oldest)

    def _restore(self, request: Request, readers: ThreadPoolExecutor, count: int) -> None:
        """The next parts, read side by side, taken in order."""
        parts = [request.parts.popleft() for _ in range(min(count, len(request.parts)))]
        self._prefetch(request, AHEAD - count, AHEAD)
        read = partial(self._cache.read_part, request.table)
        for part, is_read in zip(parts, list(readers.map(read, parts)), strict=True):
            if not is_read:
                request.parts.clear()  # from there on it is computed
                return
            self._cache.take_part(request.table, part)
            request.num_computed_tokens += part.num_tokens
            self._num_bytes += part.count * self._cache.bytes_per_page
            if request.is_first_run:
                request.num_restored_tokens += part.num_tokens

    def _end(self, request: Request) -> None:
        request.state = RequestState.PREFILL
        if request.is_first_run:
            request.cached_prefix = self._cache.held_prefix(request.table)
