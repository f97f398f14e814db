"""The body of a request for vectors."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from longreach.serve.schema.base import Body
from longreach.serve.schema.sampling import TokenId

MAX_INPUTS = 2048
Text = Annotated[str, Field(min_length=1)]
Tokens = Annotated[list[TokenId], Field(min_length=1)]


class EmbeddingRequest(Body):
    """POST /v1/embeddings.

    input: a text, token ids, or a list of either. dimensions: only the first so many numbers of
    each vector, again of norm 1. pooling: of the last layer's states, their mean or the last one.
    """

    inert: ClassVar[frozenset[str]] = frozenset({"user"})

    input: (
        Text
        | Tokens
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    pooling: Literal["mean", "last"] = "mean"
    cache_salt: str | None = None
