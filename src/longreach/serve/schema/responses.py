"""Bodies of /v1/responses: items of a conversation, and what is to be done with them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from longreach.serve.schema.base import INERT, Body
from longreach.serve.schema.caching import CacheFields
from longreach.serve.schema.documents import LongreachOptions
from longreach.serve.schema.sampling import MAX_LOGPROBS, Penalty, RepetitionPenalty

LOGPROBS = "message.output_text.logprobs"
Content = str | Annotated[list[dict[str, Any]], Field(fail_fast=True)]


class _Item(Body):
    """What all items have. id: given by the server that made it. status: says nothing here."""

    inert: ClassVar[frozenset[str]] = frozenset({"status", "created_by"})

    id: str | None = None


class MessageItem(_Item):
    """A turn of the conversation, or an instruction for it."""

    inert: ClassVar[frozenset[str]] = _Item.inert | {"phase"}

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content


class FunctionCallItem(_Item):
    """A call that the model made. arguments: JSON text."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class FunctionOutputItem(_Item):
    """What a call gave back."""

    type: Literal["function_call_output"]
    call_id: str
    output: Content


class ReasoningText(Body):
    """A piece of reasoning."""

    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(_Item):
    """What the model thought before it answered. summary: of other servers; there is none here."""

    inert: ClassVar[frozenset[str]] = _Item.inert | {"summary"}

    type: Literal["reasoning"]
    content: list[ReasoningText] | None = None
    encrypted_content: None = None


def _kind(item: object) -> str:
    """Messages may leave their type out."""
    if isinstance(item, dict):
        return str(item.get("type", "message"))
    return str(getattr(item, "type", "message"))


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(
        _kind,
        custom_error_type="unknown_item",
        custom_error_message="Input should have a type of message, function_call, "
        "function_call_output or reasoning",
    ),
]


def _as_items(given: object) -> object:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


Items = Annotated[
    list[Item],
    Field(min_length=1, fail_fast=True),
    BeforeValidator(_as_items, json_schema_input_type=str | list[Item]),
]


class FunctionTool(Body):
    """A function that the model may call. strict: forced calls always match their schema."""

    type: Literal["function"]
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionChoice(Body):
    """The function that has to be called."""

    type: Literal["function"]
    name: str


class TextFormat(Body):
    """What the text of an answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextConfig(Body):
    """The form of the text. verbosity: other ones than the usual one are refused."""

    format: TextFormat | None = None
    verbosity: Literal["medium"] | None = None


class ReasoningConfig(Body):
    """effort: none switches it off where the model can. summary: reasoning comes as it is."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto"] | None = None


class StreamOptions(Body):
    """Padding against eavesdroppers: none."""

    inert: ClassVar[frozenset[str]] = frozenset({"include_obfuscation"})


class PromptFields(CacheFields):
    """What decides the prompt; also the body of /v1/responses/input_tokens."""

    inert: ClassVar[frozenset[str]] = frozenset(INERT) - {"metadata", "store"} | {"max_tool_calls"}

    model: str | None = None
    input: Items
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: Annotated[list[FunctionTool], Field(fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    truncation: Literal["disabled"] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    enable_thinking: bool | None = None


Label = Annotated[str, Field(max_length=512)]
LabelName = Annotated[str, Field(max_length=64)]


class ResponsesRequest(PromptFields):
    """POST /v1/responses."""

    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    include: list[Literal["message.output_text.logprobs"]] | None = None
    cache_salt: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    background: bool | None = None
    metadata: Annotated[dict[LabelName, Label], Field(max_length=16)] | None = None
    longreach: LongreachOptions = LongreachOptions()

    @property
    def is_stored(self) -> bool:
        """Whether the response is kept; it is, unless asked not to be."""
        return self.store is not False

    @property
    def num_logprobs(self) -> int | None:
        """How many of the best tokens are told; None for no logprobs."""
        if LOGPROBS in (self.include or ()):
            return self.top_logprobs or 0
        return self.top_logprobs or None
