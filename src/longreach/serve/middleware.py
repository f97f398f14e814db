"""Around every request: its id, its line in the access log, and the last net under it."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longreach.serve.access import AccessLine, RequestUsage, begin_usage
from longreach.serve.context import ServerContext
from longreach.serve.errors import begin_request, internal_error
from longreach.serve.http import error_response, route_path

logger = logging.getLogger("longreach.serve")

REQUEST_ID = "X-Request-Id"
CLIENT_CLOSED = 499
_SAFE_ID = re.compile(r"[\x21-\x7e]{1,128}")


class RequestMiddleware:
    """Echoes or makes X-Request-Id, logs one line per request, answers 500 where all else failed.

    A client that left is logged as 499, with nothing sent.
    """

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self.app = app
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.context.settings.root_path:
            scope["root_path"] = self.context.settings.root_path
        seen = _Seen(send, request_id_of(scope))
        scope.setdefault("state", {})["request_id"] = seen.request_id
        begin_request(seen.request_id)
        began_s, usage = time.perf_counter(), begin_usage()
        try:
            await self.app(scope, receive, seen.send)
        except ClientDisconnect:
            seen.status = CLIENT_CLOSED
        except Exception:
            logger.exception("request %s failed", seen.request_id)
            await self._answer_bug(scope, receive, seen)
        finally:
            self._log(scope, seen, 1000 * (time.perf_counter() - began_s), usage)

    async def _answer_bug(self, scope: Scope, receive: Receive, seen: _Seen) -> None:
        if seen.status is None:
            body = self.context.error_body(route_path(scope))
            await error_response(internal_error(), body)(scope, receive, seen.send)

    def _log(self, scope: Scope, seen: _Seen, ms: float, usage: RequestUsage) -> None:
        if route_path(scope) in self.context.settings.disable_access_log_for_endpoints:
            return
        # A stream whose client left was cancelled before it could say so.
        status = seen.status if seen.is_complete or seen.status is None else CLIENT_CLOSED
        line = AccessLine(
            request_id=seen.request_id,
            method=scope["method"],
            path=scope["path"],
            route=getattr(scope.get("route"), "path", None),
            status=status or CLIENT_CLOSED,
            ms=ms,
            usage=usage,
        )
        line.log()


class _Seen:
    """Passes messages on and remembers what they said."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status: int | None = None
        self.is_complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID] = self.request_id
        elif message["type"] == "http.response.body":
            self.is_complete = not message.get("more_body", False)
        await self._send(message)


def request_id_of(scope: Scope) -> str:
    """The id that the client sent, if it is harmless; else a new one."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
