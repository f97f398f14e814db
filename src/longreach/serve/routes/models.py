"""The model that is served, under each of its names."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from longreach.serve.context import Context, ServerContext
from longreach.serve.errors import not_supported
from longreach.serve.http import JsonResponse, JsonRoute

router = APIRouter(route_class=JsonRoute, tags=["models"])


@router.get("/v1/models")
@router.get("/models")
async def list_models(context: Context) -> JsonResponse:
    """All names."""
    names = context.settings.served_model_names
    return JsonResponse({"object": "list", "data": [_model(context, name) for name in names]})


@router.post("/models/load")
@router.post("/models/unload")
@router.get("/models/sse")
async def control_models() -> JsonResponse:
    """What llama.cpp's router does with its models: there is one here, loaded at the start."""
    raise not_supported("This server has one model, for as long as it runs.")


@router.get("/v1/models/{name:path}")
@router.get("/models/{name:path}")
async def get_model(context: Context, name: str) -> JsonResponse:
    """One of them; 404 for others."""
    return JsonResponse(_model(context, context.check_model(name)))


def _model(context: ServerContext, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": context.created,
        "owned_by": "longreach",
        "root": context.settings.model_name,
        "max_model_len": context.engine.max_model_len,
    }
