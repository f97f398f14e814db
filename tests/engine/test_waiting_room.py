"""How many may wait, and when to come again."""

import pytest

from longreach.engine.waiting_room import QueueLimits, WaitingRoom
from longreach.errors import EngineBusyError, InvalidRequestError


def fill(limits, tokens, seats=0):
    """Ids of those who got in."""
    room, inside = WaitingRoom(limits), []
    for at, count in enumerate(tokens):
        try:
            room.enter(str(at), count, num_free_seats=seats)
        except EngineBusyError:
            continue
        inside.append(at)
    return inside


@pytest.mark.parametrize(
    ("limits", "seats", "inside"),
    [
        ({}, 0, [0, 1, 2, 3]),
        ({"max_num_queued_reqs": 2}, 0, [0, 1]),
        ({"max_num_queued_reqs": 2}, 1, [0, 1, 2]),
        ({"max_num_queued_reqs": 0}, 0, []),
        ({"max_num_queued_reqs": 0}, 3, [0, 1, 2]),
        ({"max_num_queued_tokens": 10}, 0, [0, 2]),
        ({"max_num_queued_tokens": 10}, 1, [0, 1, 3]),
        ({"max_num_queued_tokens": 1}, 0, [0]),
    ],
)
def test_limits_bound_what_finds_no_seat(limits, seats, inside):
    """Seats come first; the first of the queue is never too long."""
    assert fill(QueueLimits(**limits), [8, 9, 2, 1], seats) == inside


def test_who_leaves_makes_room():
    """Started and ended requests no longer count; leaving twice is harmless."""
    room = WaitingRoom(QueueLimits(max_num_queued_reqs=1))
    room.enter("a", 5, num_free_seats=0)
    with pytest.raises(EngineBusyError, match="1 requests wait, the limit is 1"):
        room.check(num_free_seats=0)
    room.leave("a")
    room.leave("a")
    room.check(num_free_seats=0)
    assert len(room) == 0


@pytest.mark.parametrize(("speed", "seconds"), [(None, 1), (100.0, 5), (1e6, 1), (0.1, 60)])
def test_the_time_to_come_again_follows_the_speed(speed, seconds):
    """500 waiting tokens at the speed that was last seen, within 1 and 60 seconds."""
    room = WaitingRoom(QueueLimits(max_num_queued_reqs=1))
    room.enter("a", 500, num_free_seats=0)
    room.observe(speed)
    with pytest.raises(EngineBusyError) as caught:
        room.enter("b", 5, num_free_seats=0)
    assert caught.value.retry_after_s == pytest.approx(seconds)


@pytest.mark.parametrize("limits", [{"max_num_queued_reqs": -1}, {"max_num_queued_tokens": True}])
def test_limits_are_counts(limits):
    """Anything else is refused by name."""
    with pytest.raises(InvalidRequestError, match=next(iter(limits))):
        QueueLimits(**limits)
