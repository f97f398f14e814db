"""What other threads hand to the engine's loop: new requests, and the wish to stop some."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING

from longreach.errors import InvalidRequestError

if TYPE_CHECKING:
    from longreach.engine.group import RequestGroup


class Inbox:
    """Request ids in use, groups that the loop has not seen yet, and ids to be aborted.

    aborts: read by the loop between layers; `take_aborts` empties it.
    """

    def __init__(self) -> None:
        self.aborts: set[str] = set()
        self._ids: dict[str, str] = {}  # of groups and of their answers -> of the group
        self._groups: deque[RequestGroup] = deque()
        self._lock = Lock()

    def put(self, group: RequestGroup) -> None:
        """From any thread. Raises InvalidRequestError for an id in use."""
        names = {group.request_id, *(answer.request.request_id for answer in group.answers)}
        with self._lock:
            if not names.isdisjoint(self._ids):
                raise InvalidRequestError("request_id", group.request_id, "an id not in use")
            self._ids |= dict.fromkeys(names, group.request_id)
            self._groups.append(group)

    def take(self) -> Iterator[RequestGroup]:
        """New groups, in the order they came."""
        while self._groups:
            yield self._groups.popleft()

    def abort(self, request_id: str) -> None:
        """From any thread. Ids that are not in use do nothing."""
        with self._lock:
            if request_id in self._ids:
                self.aborts.add(request_id)

    def forget(self, group: RequestGroup) -> None:
        """It has ended; its id may be used again."""
        with self._lock:
            for answer in group.answers:
                self._ids.pop(answer.request.request_id, None)
            self._ids.pop(group.request_id, None)
            self.aborts.discard(group.request_id)

    @property
    def is_empty(self) -> bool:
        """Whether no request is unfinished."""
        return not self._ids

    @property
    def num_queued(self) -> int:
        """Groups that the loop has not seen yet."""
        return len(self._groups)

    @property
    def request_ids(self) -> list[str]:
        """Of every request that has not ended."""
        with self._lock:
            return list(dict.fromkeys(self._ids.values()))
