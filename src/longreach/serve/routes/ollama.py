"""Ollama's routes, for clients that speak nothing else."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from longreach import __version__
from longreach.serve.auth import Caller, Identity
from longreach.serve.context import Context, ServerContext
from longreach.serve.errors import ApiError, bad_request
from longreach.serve.generation import Generation, GenerationRequest, start
from longreach.serve.http import Handler, JsonResponse, JsonRoute, to_json
from longreach.serve.ollama.format import OllamaAnswer, as_message, as_response, ollama_body
from longreach.serve.ollama.models import (
    check_model,
    listed_models,
    running_models,
    shown_model,
)
from longreach.serve.ollama.request import chat_request, generate_request
from longreach.serve.replies import first_event, whole_answer
from longreach.serve.schema.ollama import GenerateRequest, OllamaChatRequest, ShowRequest
from longreach.serve.sse import EventStream

CONTENT_TYPE = "application/x-ndjson"
ERROR_BODIES = {"/api/": ollama_body}


class UntypedJsonRoute(JsonRoute):
    """A JSON body whatever its type is said to be, as Ollama's own examples send it.

    Not from a browser: pages elsewhere may send other types than JSON without asking.
    """

    def get_route_handler(self) -> Handler:
        """The handler, which sees the type it expects."""
        handler = super().get_route_handler()

        async def untyped(request: Request) -> Response:
            if "origin" not in request.headers:
                MutableHeaders(scope=request.scope)["content-type"] = "application/json"
                request = Request(request.scope, request.receive)
            return await handler(request)

        return untyped


router = APIRouter(route_class=UntypedJsonRoute, tags=["ollama"])


@router.post("/api/chat")
async def chat(
    request: Request, context: Context, caller: Caller, body: OllamaChatRequest
) -> Response:
    """Answer a conversation, line by line unless asked otherwise."""
    check_model(context, body.model)
    answer = OllamaAnswer(body.model, as_message)
    if not body.messages:
        return _loaded(context, answer)
    wanted = await chat_request(context, caller, body, _request_id())
    return await _answer(request, context, caller, wanted, answer, stream=body.stream)


@router.post("/api/generate")
async def generate(
    request: Request, context: Context, caller: Caller, body: GenerateRequest
) -> Response:
    """Answer one prompt, line by line unless asked otherwise."""
    check_model(context, body.model)
    answer = OllamaAnswer(body.model, as_response)
    if not body.prompt:
        return _loaded(context, answer)
    wanted = await generate_request(context, caller, body, _request_id())
    return await _answer(request, context, caller, wanted, answer, stream=body.stream)


def _request_id() -> str:
    return f"ollama-{uuid.uuid4().hex}"


def _loaded(context: ServerContext, answer: OllamaAnswer) -> JsonResponse:
    _ = context.engine  # raises while there is none
    return JsonResponse(answer.loaded())


async def _answer(
    request: Request,
    context: ServerContext,
    caller: Identity,
    wanted: GenerationRequest,
    answer: OllamaAnswer,
    *,
    stream: bool,
) -> Response:
    generation = await start(context, caller, wanted)
    if not stream:
        return JsonResponse(answer.whole(await whole_answer(request, generation)))
    await first_event(request, generation, context.settings.sse_keep_alive_interval)
    return EventStream(
        _lines(generation, answer),
        interval_s=0,  # a line that is no JSON would be an error to clients
        close=generation.close,
        content_type=CONTENT_TYPE,
    )


async def _lines(generation: Generation, answer: OllamaAnswer) -> AsyncGenerator[bytes, None]:
    async with aclosing(generation.events()) as events:
        try:
            async for event in events:
                if lines := [_line(each) for each in answer.of(event)]:
                    yield b"".join(lines)
        except ApiError as error:
            yield _line(ollama_body(error))


def _line(data: dict[str, Any]) -> bytes:
    return to_json(data) + b"\n"


@router.get("/api/tags")
async def tags(context: Context) -> JsonResponse:
    """The model, under each of its names."""
    return JsonResponse({"models": listed_models(context)})


@router.get("/api/ps")
async def ps(context: Context) -> JsonResponse:
    """The models that are loaded: the same."""
    return JsonResponse({"models": running_models(context)})


@router.post("/api/show")
async def show(context: Context, body: ShowRequest) -> JsonResponse:
    """What there is to know of a model."""
    name = body.model or body.name
    if name is None:
        raise bad_request("model is required", "model")
    check_model(context, name)
    return JsonResponse(shown_model(context))


@router.get("/api/version")
async def version() -> JsonResponse:
    """Our version, in Ollama's place."""
    return JsonResponse({"version": __version__})
