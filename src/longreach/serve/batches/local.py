"""The routes of an app, called from within: their checks, their answers and errors, no socket."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.datastructures import Headers
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import Message

from longreach.serve.auth import Identity
from longreach.serve.context import ServerContext
from longreach.serve.errors import begin_request, internal_error, openai_body

logger = logging.getLogger("longreach.serve")


@dataclass(frozen=True)
class Reply:
    """What a route answered. retry_after_s: of its header, 0 without one."""

    status: int
    body: Any
    retry_after_s: float = 0.0

    @property
    def code(self) -> str | None:
        """The code of an error's body."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return error.get("code") if isinstance(error, dict) else None


class LocalApi:
    """An app's routes, behind its exception handlers alone: no key is asked for, nothing logged."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._routes = ExceptionMiddleware(
            AsyncExitStackMiddleware(app.router), handlers=app.exception_handlers
        )

    @property
    def context(self) -> ServerContext:
        """The state of the app."""
        return self._app.state.context

    async def post(self, path: str, body: Any, caller: Identity, request_id: str) -> Reply:
        """Answer a request as if this caller had sent it. Cancelling it stops the engine's work."""
        begin_request(request_id)
        answer = _Answer()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": None,
            "server": None,
            "app": self._app,
            "state": {"request_id": request_id, "identity": caller},
        }
        try:
            await self._routes(scope, _body_then_silence(orjson.dumps(body)), answer.send)
        except Exception:
            logger.exception("request %s failed", request_id)
            bug = internal_error()
            return Reply(bug.status, openai_body(bug))
        return answer.reply()


def _body_then_silence(content: bytes) -> Any:
    """A client that sends its body and stays."""
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    return receive


@dataclass
class _Answer:
    status: int = 500
    headers: Headers = field(default_factory=Headers)
    pieces: list[bytes] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = Headers(raw=message["headers"])
        elif message["type"] == "http.response.body":
            self.pieces.append(message.get("body", b""))

    def reply(self) -> Reply:
        retry_after_s = float(self.headers.get("retry-after") or 0)
        return Reply(self.status, orjson.loads(b"".join(self.pieces)), retry_after_s)
