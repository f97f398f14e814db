"""The served model, as Ollama's clients ask about it. Each name also goes with ":latest"."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from longreach.serve.chat import knows_reasoning
from longreach.serve.context import ServerContext
from longreach.serve.errors import ApiError, echo

LATEST = ":latest"
NEVER = "9999-12-31T23:59:59Z"
_ARCHITECTURE = "longreach"
_DETAILS = {
    "parent_model": "",
    "format": "safetensors",
    "family": "qwen",
    "families": ["qwen"],
    "parameter_size": "",
    "quantization_level": "",
}


def check_model(context: ServerContext, name: str) -> None:
    """Raises ApiError 404 for a model that is not served."""
    if name.removesuffix(LATEST) not in context.settings.served_model_names:
        raise ApiError(404, f"model {echo(name)} not found", code="model_not_found")


def timestamp(seconds: float) -> str:
    """Unix time as RFC 3339 writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def listed_models(context: ServerContext) -> list[dict[str, Any]]:
    """What /api/tags lists. size: 0, as a checkpoint's is not known here."""
    created = timestamp(context.created)
    return [
        {**_model(name), "modified_at": created} for name in context.settings.served_model_names
    ]


def running_models(context: ServerContext) -> list[dict[str, Any]]:
    """What /api/ps lists: all of them, for good."""
    length = context.engine.max_model_len
    return [
        {**_model(name), "expires_at": NEVER, "size_vram": 0, "context_length": length}
        for name in context.settings.served_model_names
    ]


def _model(name: str) -> dict[str, Any]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {
        "name": name + LATEST,
        "model": name + LATEST,
        "size": 0,
        "digest": digest,
        "details": _DETAILS,
    }


def shown_model(context: ServerContext) -> dict[str, Any]:
    """What /api/show says."""
    thinking = ["thinking"] if knows_reasoning(context) else []
    defaults = context.settings.sampling_defaults
    return {
        "modelfile": "",
        "parameters": "\n".join(f"{name} {value}" for name, value in defaults.items()),
        "template": "",
        "details": _DETAILS,
        "model_info": {
            "general.architecture": _ARCHITECTURE,
            f"{_ARCHITECTURE}.context_length": context.engine.max_model_len,
            f"{_ARCHITECTURE}.vocab_size": context.engine.vocab_size,
        },
        "capabilities": ["completion", "tools", *thinking],
        "modified_at": timestamp(context.created),
    }
