"""API keys: closed by default, open where `PUBLIC` says so.

A middleware guards every path, so that a new route is guarded before anybody thinks of it. Whoever
passes is an `Identity`: stored things carry its `owner`, prompts its `cache_salt`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from longreach.serve.context import ServerContext
from longreach.serve.errors import invalid_key
from longreach.serve.http import error_response, route_path

PUBLIC = frozenset({"/", "/licenses.txt", "/health", "/v1/health", "/ready", "/version"})
_PUBLIC_BELOW = "/assets/"  # of the web page, and only that router knows the prefix


def is_public(path: str) -> bool:
    """Whether a path needs no key."""
    return path in PUBLIC or path.startswith(_PUBLIC_BELOW)


@dataclass(frozen=True)
class Identity:
    """Who asks. With keys, each has an owner and a salt of its own; without, all are one.

    owner: names whose things are whose, and outlives the process. cache_salt: keeps the cached
    pages of different keys apart.
    """

    owner: str = "everyone"
    cache_salt: str = ""

    def salted(self, salt: str | None) -> str:
        """The cache salt of a request that brings one itself: apart within this identity."""
        if not salt:
            return self.cache_salt
        return hmac.new(self.cache_salt.encode(), salt.encode(), hashlib.sha256).hexdigest()


class KeyRing:
    """The keys of a server. Comparing takes the same time whatever was sent."""

    def __init__(self, keys: tuple[str, ...], secret: bytes) -> None:
        self._known = [(_digest(key), _identity(key, secret)) for key in keys]

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return not self._known

    def find(self, key: str | None) -> Identity | None:
        """Whose key this is."""
        if self.is_open:
            return Identity()
        given, found = _digest(key or ""), None
        for digest, identity in self._known:
            if hmac.compare_digest(digest, given):
                found = identity
        return found

    def of_owner(self, owner: str) -> Identity | None:
        """Who left a thing to be worked on later; None when that key is not known any more."""
        known = [Identity()] if self.is_open else [identity for _, identity in self._known]
        return next((identity for identity in known if identity.owner == owner), None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _identity(key: str, secret: bytes) -> Identity:
    owner = hmac.new(b"longreach owner", key.encode(), hashlib.sha256).hexdigest()[:32]
    return Identity(owner, hmac.new(secret, key.encode(), hashlib.sha256).hexdigest())


def key_of(headers: Headers) -> str | None:
    """The key as OpenAI's, Anthropic's and Azure's clients send it."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return headers.get("x-api-key") or headers.get("api-key")


class AuthMiddleware:
    """Lets a request pass that needs no key or has one; notes its Identity."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self.app = app
        self.context = context
        settings = context.settings
        self.keys = KeyRing(settings.api_keys, settings.secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = route_path(scope)
        identity = self.keys.find(key_of(Headers(scope=scope)))
        if identity is None and not is_public(path):
            answer = error_response(invalid_key(), self.context.error_body(path))
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {})["identity"] = identity or Identity()
        await self.app(scope, receive, send)


def identity_of(request: Request) -> Identity:
    """Who sent a request, as the middleware found."""
    return request.state.identity


async def _identity_of(request: Request) -> Identity:
    return identity_of(request)


Caller = Annotated[Identity, Depends(_identity_of)]
