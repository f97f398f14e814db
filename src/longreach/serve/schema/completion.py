"""Bodies that hold a prompt as it is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longreach.serve.schema.sampling import (
    MAX_LOGPROBS,
    ResponseFormat,
    SamplingFields,
    TokenId,
)

MAX_PROMPTS = 128
DEFAULT_MAX_TOKENS = 16
Tokens = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]
_Several = Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)


class CompletionRequest(SamplingFields):
    """POST /v1/completions.

    prompt: a text, token ids, or a list of either. max_tokens: 0 only with echo. logprobs: how many
    of the best tokens are told beside the token itself.
    """

    prompt: str | Tokens | Annotated[list[str], _Several] | Annotated[list[Tokens], _Several]
    max_tokens: Annotated[int, Field(ge=0)] | None = DEFAULT_MAX_TOKENS
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    echo: bool = False
    suffix: str | None = None
    best_of: int | None = None
    add_special_tokens: bool = True
    response_format: ResponseFormat | None = None
