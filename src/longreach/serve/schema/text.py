"""Bodies of the routes that run no model: counting, showing, estimating."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longreach.serve.schema.base import Body
from longreach.serve.schema.chat import ConversationFields, Messages
from longreach.serve.schema.sampling import TokenIds


class PromptOrMessages(ConversationFields):
    """A prompt in any of its spellings: vLLM's `prompt` or `messages`, llama.cpp's `content`."""

    messages: Messages | None = None  # type: ignore[assignment]
    prompt: str | TokenIds | None = None
    content: str | None = None
    model: str | None = None
    add_special_tokens: bool = True
    cache_salt: str | None = None


class TokenizeRequest(PromptOrMessages):
    """POST /tokenize. return_token_strs: also the text of each token."""

    return_token_strs: bool = False


class DetokenizeRequest(Body):
    """POST /detokenize."""

    model: str | None = None
    tokens: TokenIds


class EstimateRequest(PromptOrMessages):
    """POST /v1/estimate: what this prompt, and an answer of max_tokens, would take."""

    max_tokens: Annotated[int, Field(ge=0)] = 0
