"""Bodies of /v1/messages: Anthropic's turns, made of blocks."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from longreach.serve.schema.base import Body

_CACHED = frozenset({"cache_control"})
"""Marks where a prefix ends that is worth caching. Here every prefix is cached, so it is obeyed
wherever it stands, and usage tells what was read from the cache and what was written."""


class TextBlock(Body):
    """Text."""

    inert: ClassVar[frozenset[str]] = _CACHED | {"citations"}

    type: Literal["text"]
    text: str


class ThinkingBlock(Body):
    """What the model thought. signature: of other servers; there is none here."""

    inert: ClassVar[frozenset[str]] = frozenset({"signature"})

    type: Literal["thinking"]
    thinking: str


class ToolUseBlock(Body):
    """A call that the model made."""

    inert: ClassVar[frozenset[str]] = _CACHED | {"caller"}

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class OtherBlock(BaseModel):
    """What a model that reads text cannot take."""

    type: str


def _text_kind(block: object) -> str:
    return "text" if _type(block) == "text" else "other"


def _type(block: object) -> object:
    return block.get("type") if isinstance(block, dict) else getattr(block, "type", None)


TextOnly = Annotated[
    Annotated[TextBlock, Tag("text")] | Annotated[OtherBlock, Tag("other")],
    Discriminator(_text_kind),
]


class ToolResultBlock(Body):
    """What a call gave back. is_error: the model is told that it failed."""

    inert: ClassVar[frozenset[str]] = _CACHED

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[TextOnly] | None = None
    is_error: bool = False


_KINDS = frozenset({"text", "thinking", "tool_use", "tool_result"})


def _kind(block: object) -> str:
    kind = _type(block)
    return kind if isinstance(kind, str) and kind in _KINDS else "other"


Block = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ToolResultBlock, Tag("tool_result")]
    | Annotated[OtherBlock, Tag("other")],
    Discriminator(_kind),
]


class Turn(Body):
    """One turn; turns of one role that follow one another are one."""

    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Block], Field(fail_fast=True)]


class Tool(Body):
    """A function that the model may call. Forced calls always match their schema."""

    inert: ClassVar[frozenset[str]] = _CACHED | {"eager_input_streaming", "strict"}

    type: Literal["custom"] | None = None
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    input_schema: dict[str, Any]


class ToolChoice(Body):
    """Whether a tool is called. name: of type tool. disable_parallel_tool_use: at most one call."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class Thinking(Body):
    """Whether the model thinks first. A budget for it cannot be kept here, so none is taken."""

    type: Literal["adaptive", "disabled"]


class OutputFormat(Body):
    """A schema that the text of the answer matches."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Body):
    """How the answer is to be."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class CountRequest(Body):
    """POST /v1/messages/count_tokens: what decides the prompt."""

    inert: ClassVar[frozenset[str]] = _CACHED | {"metadata", "service_tier"}

    model: str
    messages: Annotated[list[Turn], Field(min_length=1, fail_fast=True)]
    system: str | list[TextBlock] | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessagesRequest(CountRequest):
    """POST /v1/messages."""

    max_tokens: Annotated[int, Field(ge=1)]
    stop_sequences: Annotated[list[str], Field(fail_fast=True)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    stream: bool | None = None
