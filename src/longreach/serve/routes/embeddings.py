"""POST /v1/embeddings."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from longreach.errors import LongreachError
from longreach.serve.access import current_usage
from longreach.serve.auth import Caller
from longreach.serve.context import Context
from longreach.serve.embedding import embedding_list, encode_inputs
from longreach.serve.errors import to_api_error
from longreach.serve.http import JsonResponse, JsonRoute, unless_hung_up
from longreach.serve.schema.embedding import EmbeddingRequest

router = APIRouter(route_class=JsonRoute, tags=["embeddings"])


@router.post("/v1/embeddings")
@router.post("/embeddings")
async def embeddings(
    request: Request, context: Context, caller: Caller, body: EmbeddingRequest
) -> JsonResponse:
    """One vector per input, pooled from the loaded model's last layer."""
    model = context.check_model(body.model)
    prompts = await encode_inputs(context, body)
    salt = caller.salted(body.cache_salt)
    num_tokens = sum(len(prompt) for prompt in prompts)
    charge = context.limits.charge(caller.owner, num_tokens)
    current_usage().prompt_tokens += num_tokens
    work = context.engine.embed(prompts, pooling=body.pooling, cache_salt=salt)
    try:
        vectors = await unless_hung_up(request.receive, work)
    except BaseException as error:
        charge.settle(0)  # also for a client that left
        if not isinstance(error, LongreachError):
            raise
        raise to_api_error(error, prompt_field="input") from error
    return JsonResponse(embedding_list(body, model, vectors, num_tokens))
