"""How many prompt tokens each key may have read per minute."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

from longreach.serve.errors import rate_limited
from longreach.serve.token_bucket import TokenBucket

MINUTE_S = 60.0


class Charge:
    """What one prompt was charged: all its tokens at first, in the end those that were computed."""

    def __init__(self, bucket: TokenBucket | None, num_tokens: int) -> None:
        self._bucket = bucket
        self._num_tokens = num_tokens

    def settle(self, num_tokens: int) -> None:
        """It costs this many. May be called more than once."""
        if self._bucket is not None:
            self._bucket.take(num_tokens - self._num_tokens)
        self._num_tokens = num_tokens


class PrefillLimits:
    """A bucket per owner, which holds one minute's tokens. tokens_per_minute: None: no limit."""

    def __init__(
        self, tokens_per_minute: int | None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def charge(self, owner: str, num_tokens: int, *, may_refuse: bool = True) -> Charge:
        """Charge a prompt. Raises ApiError 429 while the owner's bucket is empty.

        may_refuse: False for the later prompts of a request whose first one was let in.
        """
        if self._tokens_per_minute is None:
            return Charge(None, num_tokens)
        bucket = self._bucket(owner, self._tokens_per_minute)
        if may_refuse and bucket.level <= 0:
            raise rate_limited(self._tokens_per_minute, math.ceil(bucket.wait_s()))
        bucket.take(num_tokens)
        return Charge(bucket, num_tokens)

    def _bucket(self, owner: str, per_minute: int) -> TokenBucket:
        if owner not in self._buckets:
            self._buckets[owner] = TokenBucket(per_minute, per_minute / MINUTE_S, self._clock)
        return self._buckets[owner]
