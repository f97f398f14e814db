"""The thread that writes: jobs in order, few bytes waiting, and no failure but one log line."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

from longreach.errors import CacheFileError

logger = logging.getLogger(__name__)

MAX_WAITING_BYTES = 64 * 2**20
Job = Callable[[], None]


class Writer:
    """Runs jobs one after the other. Thread-safe.

    A job that fails ends writing for good: `is_on` is False then, and what is waiting is dropped.
    on_room: called from the thread after each job.
    """

    def __init__(self, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self.is_on = True
        self.on_room: Callable[[], None] = _nothing
        self._max_bytes = max_bytes
        self._jobs: deque[tuple[Job, int]] = deque()
        self._num_bytes = 0
        self._is_busy = False
        self._is_closing = False
        self._changed = Condition()
        self._thread: Thread | None = None

    def has_room(self, num_bytes: int) -> bool:
        """Whether a job of so many bytes can wait; one always can, however large."""
        return not self._num_bytes or self._num_bytes + num_bytes <= self._max_bytes

    def put(self, job: Job, num_bytes: int = 0) -> None:
        """Run a job soon; nothing happens once writing has ended."""
        with self._changed:
            if not self.is_on or self._is_closing:
                return
            self._jobs.append((job, num_bytes))
            self._num_bytes += num_bytes
            self._changed.notify_all()
            if self._thread is None:
                self._thread = Thread(target=self._run, name="longreach-disk", daemon=True)
                self._thread.start()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all jobs are done; False when they were not in time."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Take no more jobs, and wait for those that are there; False when there was no time."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        return self.flush(timeout_s)

    def _is_idle(self) -> bool:
        return not self._jobs and not self._is_busy

    def _run(self) -> None:
        while (item := self._next()) is not None:
            job, num_bytes = item
            error = _failure_of(job)
            del job, item
            with self._changed:
                self._is_busy = False
                self._num_bytes -= num_bytes
                if error is not None:
                    self._switch_off(error)
                self._changed.notify_all()
            self.on_room()

    def _next(self) -> tuple[Job, int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closing)
            if not self._jobs:
                return None
            self._is_busy = True
            return self._jobs.popleft()

    def _switch_off(self, error: Exception) -> None:
        self.is_on = False
        self._jobs.clear()
        self._num_bytes = 0
        logger.warning(
            "disk cache: nothing is written from now on (%s); what is there is still read",
            error,
            exc_info=None if isinstance(error, OSError | CacheFileError) else error,
        )


def _failure_of(job: Job) -> Exception | None:
    try:
        job()
    except Exception as error:  # noqa: BLE001  # no request may ever notice
        return error
    return None


def _nothing() -> None:
    """The default of `on_room`."""
