"""Requests whose pages come from disk: a little between any two steps, all of it when alone."""

from __future__ import annotations

from collections.abc import Sequence
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
        lasts_s = LONE_S if len(waiting) == len(running) else 0.0
        oldest = waiting[0]
        while oldest.parts:
            self._restore_part(oldest)
            if perf_counter() - start_s >= lasts_s:
                break
        self._seconds += perf_counter() - start_s
        if not oldest.parts:
            self._end(oldest)

    def _restore_part(self, request: Request) -> None:
        part = request.parts.popleft()
        self._prefetch(request, AHEAD - 1, AHEAD)
        if not self._cache.restore(request.table, part):
            request.parts.clear()  # from there on it is computed
            return
        request.num_computed_tokens += part.num_tokens
        self._num_bytes += part.count * self._cache.bytes_per_page
        if request.is_first_run:
            request.num_restored_tokens += part.num_tokens

    def _end(self, request: Request) -> None:
        request.state = RequestState.PREFILL
        if request.is_first_run:
            request.cached_prefix = self._cache.held_prefix(request.table)
