"""How tokens are drawn and where answers end, in OpenAI's and vLLM's spellings."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from longreach.serve.schema.base import INERT, Body
from longreach.serve.schema.caching import CacheFields

MAX_CHOICES = 128
MAX_LOGPROBS = 20

Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]
# Far outside what is of use, logits that are divided by it are no numbers any more.
RepetitionPenalty = Annotated[float, Field(ge=0.01, le=100.0)]
Stop = Annotated[str, Field(max_length=1000)]
# Each is looked for in every token's text, on the thread that computes for all requests.
Stops = Annotated[list[Stop], Field(max_length=64, fail_fast=True)]
TokenId = Annotated[int, Field(ge=0)]
TokenIds = Annotated[list[TokenId], Field(fail_fast=True)]


class StreamOptions(Body):
    """include_usage: one more chunk, with the usage. Padding against eavesdroppers: none."""

    inert: ClassVar[frozenset[str]] = frozenset({"include_obfuscation"})

    include_usage: bool = False


class StructuredOutputsField(Body):
    """vLLM's spelling of what an answer must match; exactly one of them."""

    inert: ClassVar[frozenset[str]] = frozenset({"disable_any_whitespace", "disable_fallback"})

    # `json` would hide a method of pydantic's models.
    json_schema: dict[str, Any] | str | None = Field(default=None, alias="json")
    json_object: bool | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None


class SamplingFields(CacheFields):
    """The fields that chat and completions share. None: the model's own default."""

    inert: ClassVar[frozenset[str]] = frozenset(INERT)

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100.0, le=100.0)]] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | Stops | None = None
    stop_token_ids: TokenIds | None = None
    include_stop_str_in_output: bool = False
    min_tokens: Annotated[int, Field(ge=0)] = 0
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    prompt_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    structured_outputs: StructuredOutputsField | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    return_progress: bool = False
    cache_salt: str | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk that holds the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class JsonSchema(Body):
    """A schema by name. strict: answers always match, whether it is set or not."""

    name: str
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    """What the text of an answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
