"""From texts to vectors as OpenAI's clients read them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from longreach.serve.context import ServerContext
from longreach.serve.errors import bad_request, to_api_error
from longreach.serve.schema.embedding import EmbeddingRequest

Vector = Sequence[float]


async def encode_inputs(context: ServerContext, body: EmbeddingRequest) -> list[Sequence[int]]:
    """Token ids of every input; markup in a text stays text. Raises ApiError."""
    tokenizer = context.engine.tokenizer

    def encode_all() -> list[Sequence[int]]:
        return [
            tokenizer.encode(each, allow_special=False) if isinstance(each, str) else each
            for each in inputs_of(body)
        ]

    try:
        return await asyncio.to_thread(encode_all)
    except ValueError as error:
        raise to_api_error(error, prompt_field="input") from error


def inputs_of(body: EmbeddingRequest) -> Sequence[str | Sequence[int]]:
    """The inputs in order, however they were spelled."""
    given = body.input
    if isinstance(given, str) or isinstance(given[0], int):
        return [given]
    return given


def embedding_list(
    body: EmbeddingRequest, model: str, vectors: Sequence[Vector], num_tokens: int
) -> dict[str, Any]:
    """The answer. Raises ApiError 400 when more dimensions are asked for than there are."""
    data = [
        {"object": "embedding", "index": index, "embedding": _written(body, vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _written(body: EmbeddingRequest, vector: Vector) -> str | Vector:
    short = vector if body.dimensions is None else shorten(vector, body.dimensions)
    if body.encoding_format == "float":
        return short
    return base64.b64encode(np.asarray(short, "<f4").tobytes()).decode()


def shorten(vector: Vector, dimensions: int) -> Vector:
    """The first numbers of a vector, scaled to norm 1 (or all zeros)."""
    if dimensions > len(vector):
        message = f"dimensions is {dimensions}: this model's vectors have {len(vector)}."
        raise bad_request(message, "dimensions")
    head = np.asarray(vector[:dimensions], np.float64)
    norm = float(np.linalg.norm(head))
    return (head / norm if norm else head).tolist()
