"""What the server is doing, and its cache: each key sees and resets its own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from longreach import __version__
from longreach.serve.auth import Caller
from longreach.serve.context import Context, ServerContext
from longreach.serve.errors import not_supported, unavailable
from longreach.serve.http import JsonResponse, JsonRoute
from longreach.serve.running import RunningRequest

router = APIRouter(route_class=JsonRoute, tags=["status"])


@router.get("/props")
async def props(context: Context) -> JsonResponse:
    """What llama.cpp's clients ask a server about itself."""
    settings = context.settings
    return JsonResponse(
        {
            "default_generation_settings": {
                "n_ctx": context.engine.max_model_len,
                "params": dict(settings.sampling_defaults),
            },
            "total_slots": settings.max_num_seqs,
            "model_alias": settings.model_name,
            "chat_template": context.engine.chat_template.sources.get("default", ""),
            "modalities": {"vision": False, "audio": False},
            "build_info": f"longreach-{__version__}",
        }
    )


@router.get("/slots")
async def slots(context: Context, caller: Caller, fail_on_no_slot: int = 0) -> JsonResponse:
    """The caller's own requests, and the slots that are free for anybody's.

    fail_on_no_slot=1: 503 when none is free.
    """
    total, n_ctx = context.settings.max_num_seqs, context.engine.max_model_len
    num_free = max(0, total - len(context.running))
    if fail_on_no_slot and not num_free:
        raise unavailable("No slot is free.", "no_slot_available")
    own = [each for each in context.running.values() if each.owner == caller.owner]
    busy = [_busy(index, each, n_ctx) for index, each in enumerate(own)]
    free = [
        {"id": len(own) + index, "n_ctx": n_ctx, "is_processing": False}
        for index in range(num_free)
    ]
    return JsonResponse([*busy, *free])


def _busy(index: int, request: RunningRequest, n_ctx: int) -> dict[str, Any]:
    return {
        "id": index,
        "id_task": request.request_id,
        "n_ctx": n_ctx,
        "is_processing": True,
        "started": request.started,
        "n_prompt_tokens": request.num_prompt_tokens,
        "n_prompt_tokens_processed": request.num_processed_tokens,
        "n_decoded": request.num_generated_tokens,
    }


@router.post("/slots/{slot}")
async def move_slot(slot: int) -> JsonResponse:
    """What llama.cpp does to a slot's cache (action=save, restore or erase): there is none here."""
    raise not_supported(
        f"Slot {slot} has no cache of its own: prompts are found again by what they begin with. "
        "POST /reset_prefix_cache forgets them."
    )


@router.post("/reset_prefix_cache")
async def reset_prefix_cache(context: Context, caller: Caller) -> JsonResponse:
    """Forget cached pages that no request uses: the caller's, or all where there are no keys."""
    pages = await context.engine.reset_prefix_cache(cache_salt=_own_salt(context, caller))
    return JsonResponse({"pages": pages})


def _own_salt(context: ServerContext, caller: Caller) -> str | None:
    return caller.cache_salt if context.settings.api_keys else None
