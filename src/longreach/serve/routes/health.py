"""Routes that need no key: is it alive, is it ready, which version."""

from __future__ import annotations

from fastapi import APIRouter

from longreach import __version__
from longreach.serve.context import Context
from longreach.serve.errors import unavailable
from longreach.serve.http import JsonResponse, JsonRoute

router = APIRouter(route_class=JsonRoute, tags=["health"])


@router.get("/health")
@router.get("/v1/health")
@router.get("/ready")
async def health(context: Context) -> JsonResponse:
    """200 once the model is loaded; 503 while it loads, and while the server drains."""
    if context.phase == "draining":
        raise unavailable("The server is shutting down.", "shutting_down")
    if context.engine.status.error is not None:
        raise unavailable("The engine failed; the log says why.", "engine_failed")
    return JsonResponse({"status": "ok"})


@router.get("/version")
async def version() -> JsonResponse:
    """The version of longreach."""
    return JsonResponse({"version": __version__})
