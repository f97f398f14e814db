"""The application: middleware, routes, and an answer to every exception."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from longreach import __version__
from longreach.engine.protocol import AsyncTextEngine
from longreach.errors import LongreachError
from longreach.serve.auth import AuthMiddleware
from longreach.serve.context import ServerContext, context_of
from longreach.serve.errors import ApiError, ErrorBody, clip, is_expected, to_api_error
from longreach.serve.http import error_response, route_path
from longreach.serve.middleware import RequestMiddleware
from longreach.serve.origins import OriginMiddleware
from longreach.serve.routes import (
    anthropic,
    batches,
    chat,
    completions,
    documents,
    embeddings,
    files,
    health,
    metrics,
    models,
    ollama,
    responses,
    status,
    streams,
    text,
    web,
)
from longreach.serve.settings import ServerSettings
from longreach.serve.validation import to_error

FAMILIES = (
    health,
    metrics,
    models,
    status,
    text,
    chat,
    completions,
    embeddings,
    files,
    documents,
    responses,
    batches,
    anthropic,
    ollama,
    streams,
    web,
)
"""Modules of routes: each has a `router`, and may have ERROR_BODIES (path prefix -> ErrorBody)
where its clients expect another shape than OpenAI's."""


def create_app(engine: AsyncTextEngine | None, settings: ServerSettings) -> FastAPI:
    """The server as an ASGI application.

    engine: None while the model loads: `app.state.context.start(engine)` makes it ready, and until
    then every route that needs the model answers 503.
    """
    app = FastAPI(
        title="longreach",
        version=__version__,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    context = ServerContext(settings=settings, error_bodies=_error_bodies())
    app.state.context = context
    if engine is not None:
        context.start(engine)
    for family in FAMILIES:
        app.include_router(family.router, responses=_RESPONSES)
    for kind in (ApiError, LongreachError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer_exception)
    _add_middleware(app, context)
    return app


_RESPONSES: dict[int | str, dict[str, object]] = {
    "4XX": {"description": "The request cannot be obeyed: {error: {message, type, param, code}}"},
    "5XX": {"description": "The server cannot answer, in the same shape"},
}


def _error_bodies() -> dict[str, ErrorBody]:
    bodies: dict[str, ErrorBody] = {}
    for family in FAMILIES:
        bodies |= getattr(family, "ERROR_BODIES", {})
    return bodies


def _add_middleware(app: FastAPI, context: ServerContext) -> None:
    """The last one added is the first to see a request."""
    app.add_middleware(AuthMiddleware, context=context)
    app.add_middleware(OriginMiddleware, context=context)
    if context.settings.allowed_origins:
        # Preflights carry no key, so this stands before the keys.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=context.settings.allowed_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Request-Id"],
        )
    app.add_middleware(RequestMiddleware, context=context)


async def answer_exception(request: Request, error: Exception) -> Response:
    """An exception that a route raised, as the answer of its family."""
    match error:
        case RequestValidationError():
            answer = to_error(error.errors(), error.body)
        case HTTPException():
            answer = _of_http(request, error)
        case _ if is_expected(error):
            answer = to_api_error(error)
        case _:
            raise error
    return error_response(answer, context_of(request).error_body(route_path(request.scope)))


def _of_http(request: Request, error: HTTPException) -> ApiError:
    """What the framework itself refuses: unknown paths, methods, unreadable bodies."""
    headers = dict(error.headers or {})
    where = clip(f"{request.method} {request.url.path}")
    if error.status_code == 404:
        return ApiError(404, f"Unknown request URL: {where}.", code="unknown_url", headers=headers)
    if error.status_code == 405:
        code = "method_not_supported"
        return ApiError(405, f"Not allowed: {where}.", code=code, headers=headers)
    return ApiError(error.status_code, clip(str(error.detail)), headers=headers)
