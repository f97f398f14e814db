"""How far the prompts of one call have been read, and when they will be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import NamedTuple

from longreach.engine.protocol import ProgressCallback


class Reading(NamedTuple):
    """Prompt tokens of a request: read so far (cached ones included), in all, found cached."""

    read: int
    total: int
    cached: int


class ProgressMeter:
    """Turns counts into calls that never go backwards (a preempted prompt is read again silently).

    look: request id -> Reading, None once it has ended. The eta is of reading the prompts, not of
    writing the answers.
    """

    def __init__(
        self,
        callback: ProgressCallback,
        request_ids: Iterable[str],
        look: Callable[[str], Reading | None],
    ) -> None:
        self._callback = callback
        self._look = look
        self._known = {request_id: Reading(0, 0, 0) for request_id in request_ids}
        self._begin_s = perf_counter()
        self._last = -1

    def __call__(self) -> None:
        """Report, if anything moved."""
        for request_id, known in self._known.items():
            now = self._look(request_id) or known._replace(read=known.total)
            self._known[request_id] = now
        counts = self._known.values()
        read = sum(now.read for now in counts)
        if read <= self._last:
            return
        self._last = read
        total, cached = sum(now.total for now in counts), sum(now.cached for now in counts)
        self._callback(read, total, cached, self._eta(Reading(read, total, cached)))

    def _eta(self, now: Reading) -> float | None:
        computed = now.read - now.cached
        if now.read >= now.total:
            return 0.0
        if computed <= 0:
            return None
        return (perf_counter() - self._begin_s) / computed * (now.total - now.read)
