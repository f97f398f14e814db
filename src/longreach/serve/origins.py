"""Pages of other sites may not set a server to work through the browser of who runs it.

A browser sends a form to any address, 127.0.0.1 too, without asking (CORS only keeps the page from
reading the answer). It says so in Sec-Fetch-Site, which no page can change.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from longreach.serve.context import ServerContext
from longreach.serve.errors import cross_site
from longreach.serve.http import error_response, route_path

_CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})


class OriginMiddleware:
    """Refuses what another site's page sends, unless its origin is among --allowed-origins."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self.app = app
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_foreign(scope):
            body = self.context.error_body(route_path(scope))
            await error_response(cross_site(), body)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_foreign(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        if scope["method"] in _CHANGES_NOTHING or headers.get("sec-fetch-site") != "cross-site":
            return False
        allowed = self.context.settings.allowed_origins
        return "*" not in allowed and headers.get("origin", "") not in allowed
