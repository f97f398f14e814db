"""Responses that are kept: read again, continued, deleted, each by its owner alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from longreach.serve.errors import ApiError, bad_request, echo
from longreach.serve.http import to_json
from longreach.serve.responses.items import KeptItem
from longreach.serve.store import ObjectStore

_KIND = "response"
_EVENTS = "response.events"
UNFINISHED = frozenset({"queued", "in_progress"})


@dataclass(frozen=True)
class StoredResponse:
    """A response as clients read it, and the items that its own request brought."""

    response: dict[str, Any]
    input: list[KeptItem]


class StoredResponses:
    """The responses of one owner."""

    def __init__(self, store: ObjectStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    async def save(self, response: dict[str, Any], items: Sequence[KeptItem]) -> None:
        """Keep a response, in place of what was kept of it before."""
        data = to_json({"response": response, "input": items})
        await asyncio.to_thread(self._store.put, _KIND, response["id"], self._owner, data)

    async def load(self, response_id: str) -> StoredResponse:
        """Find a response. Raises ApiError 404."""
        found = await asyncio.to_thread(self._load, response_id)
        if found is None:
            raise not_found(response_id)
        return found

    async def delete(self, response_id: str) -> None:
        """Forget a response. Raises ApiError 404."""
        await asyncio.to_thread(self._store.delete, _EVENTS, response_id, self._owner)
        if not await asyncio.to_thread(self._store.delete, _KIND, response_id, self._owner):
            raise not_found(response_id)

    async def conversation(self, response_id: str) -> list[KeptItem]:
        """All items up to this response, its output included.

        Raises ApiError: 404 where one of the chain is not there, 400 while this one is written.
        """
        return await asyncio.to_thread(self._conversation, response_id)

    async def save_events(self, response_id: str, frames: Sequence[bytes]) -> None:
        """Keep what was streamed."""
        data = b"".join(frames)
        await asyncio.to_thread(self._store.put, _EVENTS, response_id, self._owner, data)

    async def load_events(self, response_id: str) -> list[bytes] | None:
        """What was streamed, frame by frame; None where that was not kept."""
        data = await asyncio.to_thread(self._store.get, _EVENTS, response_id, self._owner)
        return None if data is None else [each + b"\n\n" for each in data.split(b"\n\n")[:-1]]

    def _load(self, response_id: str) -> StoredResponse | None:
        data = self._store.get(_KIND, response_id, self._owner)
        return None if data is None else StoredResponse(**orjson.loads(data))

    def _conversation(self, response_id: str) -> list[KeptItem]:
        links: list[list[KeptItem]] = []
        next_id: str | None = response_id
        while next_id is not None:
            found = self._load(next_id)
            if found is None:
                raise _previous_not_found(next_id)
            if found.response["status"] in UNFINISHED:
                message = f"The response {echo(next_id)} is not finished: continue it later."
                raise bad_request(message, "previous_response_id")
            links.append([*found.input, *found.response["output"]])
            next_id = found.response["previous_response_id"]
        return [item for link in reversed(links) for item in link]


def not_found(response_id: str) -> ApiError:
    """404: no such response, or not the caller's."""
    return ApiError(404, f"Response with id {echo(response_id)} not found.", param="response_id")


def _previous_not_found(response_id: str) -> ApiError:
    message = f"Previous response with id {echo(response_id)} not found."
    code = "previous_response_not_found"
    return ApiError(404, message, param="previous_response_id", code=code)
