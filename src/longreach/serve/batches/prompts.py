"""The beginning of what a request will make the model read, to find requests that share it.

Equal texts begin with equal tokens, so the text is enough; nothing is encoded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from longreach.serve.auth import Identity
from longreach.serve.completion import prompts_of
from longreach.serve.context import ServerContext
from longreach.serve.prompt import render
from longreach.serve.schema.chat import ChatRequest
from longreach.serve.schema.completion import CompletionRequest
from longreach.serve.tooling import plan_tools

_RESPONSE_FIELDS = ("model", "tools", "instructions", "input")


async def prompt_bytes(
    context: ServerContext, caller: Identity, url: str, body: Mapping[str, Any]
) -> bytes:
    """The rendered prompt; empty where nothing can be shared, or the request is wrong anyway."""
    try:
        match url:
            case "/v1/chat/completions":
                chat = ChatRequest.model_validate(body)
                rendered = await render(context, caller, chat, tools=plan_tools(chat).tools)
                return rendered.text.encode("utf-8", "replace")
            case "/v1/completions":
                return _first_prompt(CompletionRequest.model_validate(body))
            case "/v1/responses":
                # In the order in which a template writes them.
                return orjson.dumps({name: body.get(name) for name in _RESPONSE_FIELDS})
    except Exception:  # noqa: BLE001 - one odd line of a batch must not end the others
        return b""  # its own route will say what is wrong with it
    return b""


def _first_prompt(body: CompletionRequest) -> bytes:
    first = prompts_of(body)[0]
    if isinstance(first, str):
        return first.encode("utf-8", "replace")
    return np.asarray(first, "<i8").tobytes()
