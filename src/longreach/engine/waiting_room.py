"""How many requests, and how many of their tokens, may wait for a seat."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from longreach.errors import EngineBusyError, InvalidRequestError

SHORTEST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """Bounds of what waits, beyond the requests that find a free seat; None: no bound.

    max_num_queued_tokens is never in the way of a request before which no other one waits.
    """

    max_num_queued_reqs: int | None = None
    max_num_queued_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_num_queued_reqs", "max_num_queued_tokens"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value < 0):
                raise InvalidRequestError(name, value, "an integer of at least 0, or None")


class WaitingRoom:
    """Requests that have not started. Thread-safe."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._tokens: dict[str, int] = {}
        self._tokens_per_s = 0.0
        self._lock = Lock()

    def enter(self, request_id: str, num_tokens: int, *, num_free_seats: int) -> None:
        """Raises EngineBusyError, with a guess of when to come again, when it is full."""
        with self._lock:
            self._check(num_tokens, num_free_seats)
            self._tokens[request_id] = num_tokens

    def check(self, *, num_free_seats: int) -> None:
        """Raises EngineBusyError when not even a request of one token could enter."""
        with self._lock:
            self._check(1, num_free_seats)

    def leave(self, request_id: str) -> None:
        """It has started, or ended. Harmless when it is not here."""
        with self._lock:
            self._tokens.pop(request_id, None)

    def observe(self, tokens_per_s: float | None) -> None:
        """A prompt was read at this speed."""
        if tokens_per_s:
            self._tokens_per_s = tokens_per_s

    def __len__(self) -> int:
        return len(self._tokens)

    def _check(self, num_tokens: int, num_free_seats: int) -> None:
        if len(self._tokens) < num_free_seats:
            return
        queued = list(self._tokens.values())[num_free_seats:]  # the first ones find a seat
        most, most_tokens = self._limits.max_num_queued_reqs, self._limits.max_num_queued_tokens
        if most is not None and len(queued) >= most:
            raise self._busy(f"{len(queued)} requests wait, the limit is {most}")
        if most_tokens is not None and queued and sum(queued) + num_tokens > most_tokens:
            raise self._busy(f"{sum(queued)} prompt tokens wait, the limit is {most_tokens}")

    def _busy(self, what: str) -> EngineBusyError:
        tokens = sum(self._tokens.values())
        seconds = tokens / self._tokens_per_s if self._tokens_per_s else SHORTEST_RETRY_S
        return EngineBusyError(what, min(max(seconds, SHORTEST_RETRY_S), LONGEST_RETRY_S))
