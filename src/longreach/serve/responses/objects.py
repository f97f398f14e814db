"""A response before anything is written: what was asked for, repeated."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from longreach.engine.sampling_params import SamplingParams
from longreach.serve.schema.caching import DEFAULT_TTL, CacheOptions
from longreach.serve.schema.responses import FunctionChoice, ResponsesRequest, TextFormat

_DRAWN = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


def make_response_id() -> str:
    """A fresh id."""
    return f"resp_{uuid.uuid4().hex}"


def new_response(
    body: ResponsesRequest, response_id: str, model: str, params: SamplingParams
) -> dict[str, Any]:
    """The response object, with no output yet. params: what the engine was asked for."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "queued" if body.background else "in_progress",
        "background": bool(body.background),
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "metadata": body.metadata or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        **_caching(body),
        "reasoning": _reasoning(body),
        "service_tier": "default",
        "store": body.is_stored,
        "text": {"format": _format(body), "verbosity": "medium"},
        "tool_choice": _tool_choice(body),
        "tools": [_tool(tool.model_dump()) for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "truncation": "disabled",
        "usage": None,
        **{name: getattr(params, name) for name in _DRAWN},
    }


def _caching(body: ResponsesRequest) -> dict[str, Any]:
    """What was said about the cache; nothing where nothing was."""
    said = {
        "prompt_cache_key": body.prompt_cache_key,
        "prompt_cache_options": body.prompt_cache_options and _options(body.prompt_cache_options),
        "prompt_cache_retention": body.prompt_cache_retention,
    }
    return {name: value for name, value in said.items() if value is not None}


def _options(options: CacheOptions) -> dict[str, Any]:
    return {"mode": options.mode, "ttl": options.ttl or DEFAULT_TTL}


def _reasoning(body: ResponsesRequest) -> dict[str, Any]:
    effort = body.reasoning.effort if body.reasoning else None
    return {"effort": effort, "summary": None}


def _format(body: ResponsesRequest) -> dict[str, Any]:
    wanted = body.text and body.text.format
    if not isinstance(wanted, TextFormat):
        return {"type": "text"}
    return wanted.model_dump(by_alias=True, exclude_none=True)


def _tool_choice(body: ResponsesRequest) -> str | dict[str, Any]:
    if isinstance(body.tool_choice, FunctionChoice):
        return body.tool_choice.model_dump()
    return body.tool_choice or "auto"


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as given; the schema's flag has its default written out."""
    return {**tool, "strict": tool["strict"] is not False}
