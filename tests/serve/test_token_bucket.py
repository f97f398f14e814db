"""A bucket that may go into debt, by a clock of the test."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.serve.token_bucket import TokenBucket

CAPACITY, RATE = 100.0, 10.0


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


WAITS = st.floats(0, 30)
AMOUNTS = st.floats(0, 500)


@given(st.lists(st.tuples(WAITS, AMOUNTS, st.floats(0, 1)), max_size=30))
def test_no_more_is_given_than_the_rate_allows(visits):
    """In any span of time: what it held, what came in, and one amount more; whatever is settled."""
    clock = Clock()
    bucket = TokenBucket(CAPACITY, RATE, clock)
    given_at = []
    for wait_s, amount, share in visits:
        clock.now_s += wait_s
        if bucket.level > 0:
            bucket.take(amount)
            bucket.take(-amount * share)
            given_at.append((clock.now_s, amount * (1 - share)))
        assert bucket.level <= CAPACITY
    for first, (begin_s, _) in enumerate(given_at):
        for last in range(first, len(given_at)):
            span = given_at[first : last + 1]
            most = CAPACITY + RATE * (given_at[last][0] - begin_s) + span[-1][1]
            assert sum(amount for _, amount in span) <= most + 1e-6


@given(st.lists(AMOUNTS, min_size=1, max_size=10))
def test_after_the_wait_the_debt_is_paid(amounts):
    """Not sooner, and however large it was."""
    clock = Clock()
    bucket = TokenBucket(CAPACITY, RATE, clock)
    for amount in amounts:
        bucket.take(amount)
    wait_s = bucket.wait_s()
    assert (wait_s > 0) == (bucket.level < 0)
    clock.now_s += wait_s
    assert bucket.level == pytest.approx(max(0.0, CAPACITY - sum(amounts)) if not wait_s else 0.0)


def test_what_is_given_back_never_overfills():
    """An error of the caller's cannot make it hold more than its capacity."""
    bucket = TokenBucket(CAPACITY, RATE, Clock())
    bucket.take(-50)
    assert bucket.level == CAPACITY
