"""JSON in and out, and the moment a client hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from longreach.serve.context import context_of
from longreach.serve.errors import ApiError, ErrorBody, openai_body, too_deep
from longreach.serve.tasks import cancel
from longreach.text.nesting import MAX_NESTING, is_too_deep

T = TypeVar("T")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_OPTIONS = orjson.OPT_NON_STR_KEYS


def to_json(data: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return orjson.dumps(data, option=_OPTIONS)


class JsonResponse(Response):
    """An answer that is one JSON document."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return to_json(content)


def error_response(error: ApiError, body: ErrorBody = openai_body) -> JsonResponse:
    """An error as the answer it is."""
    return JsonResponse(body(error), status_code=error.status, headers=error.headers)


class JsonRequest(Request):
    """A request whose JSON is read by a strict and fast parser."""

    async def json(self) -> Any:
        """The body. Raises json.JSONDecodeError, also for NaN and for lone surrogates.

        HTTPException 400 for one that is nested too deep.
        """
        raw = await self.body()
        body = orjson.loads(raw)
        # Long lists of token ids have few brackets: they need no walk.
        if raw.count(b"[") + raw.count(b"{") > MAX_NESTING and is_too_deep(body):
            # Of the exceptions that a body's reader raises, FastAPI passes on only this one.
            raise HTTPException(400, too_deep().message)
        return body

    async def read(self, max_bytes: int) -> None:
        """Take the whole body. Raises ApiError 413 as soon as it is known to be too long."""
        _check_size(int(self.headers.get("content-length") or 0), max_bytes)
        pieces, size = [], 0
        async for piece in self.stream():
            size += len(piece)
            _check_size(size, max_bytes)
            pieces.append(piece)
        self._body = b"".join(pieces)


class JsonRoute(APIRoute):
    """A route with a JSON body (or none): other content types get 415, long bodies 413."""

    def get_route_handler(self) -> Handler:
        """The handler behind the checks."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def checked(request: Request) -> Response:
            _require_json(request.headers)
            body = JsonRequest(request.scope, request.receive)
            await body.read(context_of(request).settings.max_body_bytes)
            return await handler(body)

        return checked


def route_path(scope: Scope) -> str:
    """The path as our routes have it, whether or not a proxy took --root-path away."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    return path[len(root) :] or "/" if root and f"{path}/".startswith(f"{root}/") else path


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        message = f"The body has more than {max_bytes} bytes, which is the limit here."
        raise ApiError(413, message, code="request_too_large")


def _require_json(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and "+json" in kind):
        raise ApiError(415, "Send the body as JSON, with 'Content-Type: application/json'.")


async def hung_up(receive: Receive) -> None:
    """Return when the client is gone; half-closed connections count as gone. The body is read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_hung_up(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client goes; then ClientDisconnect."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(hung_up(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for each in (task, gone):
            await cancel(each)
