"""A token bucket that may go into debt, because a cost is known for certain only afterwards."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class TokenBucket:
    """Holds at most `capacity` and fills at `rate_per_s`. clock: seconds.

    Whoever comes while it is not empty gets all that was asked for, even more than it holds; who
    comes after waits until the debt is paid. So no amount is too large to be ever let through, and
    in any time t no more is given than `capacity + rate_per_s * t`, and one request more.
    """

    def __init__(
        self, capacity: float, rate_per_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self.capacity = capacity
        self.rate_per_s = rate_per_s
        self._clock = clock
        self._level = capacity
        self._seen_s = clock()

    @property
    def level(self) -> float:
        """What it holds now; below zero: the debt."""
        now_s = self._clock()
        self._put(self.rate_per_s * (now_s - self._seen_s))
        self._seen_s = now_s
        return self._level

    def wait_s(self) -> float:
        """Seconds until its debt is paid; 0: it has none."""
        return max(0.0, -self.level) / self.rate_per_s

    def take(self, amount: float) -> None:
        """Take this much, whatever it holds; a negative amount is given back."""
        self._level = self.level
        self._put(-amount)

    def _put(self, amount: float) -> None:
        self._level = min(self.capacity, self._level + amount)
