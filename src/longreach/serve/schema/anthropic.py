"""Bodies of /v1/messages: Anthropic's turns, made of blocks."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from longreach.serve.schema.base import Body
from longreach.serve.schema.caching import CacheControl
from longreach.serve.schema.documents import MAX_NAME, LongreachOptions
from longreach.serve.schema.sampling import Stops


class Cached(Body):
    """What may end a prefix that is to be kept."""

    cache_control: CacheControl | None = None


class TextBlock(Cached):
    """Text. citations: of an earlier answer; nothing that the model reads."""

    inert: ClassVar[frozenset[str]] = frozenset({"citations"})

    type: Literal["text"]
    text: str


class PdfSource(Body):
    """A PDF, in base64."""

    type: Literal["base64"]
    media_type: Literal["application/pdf"]
    data: str


class PlainTextSource(Body):
    """A text."""

    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class ContentSource(Body):
    """A text in blocks."""

    type: Literal["content"]
    content: str | list[TextBlock]


class FileSource(Body):
    """A file of /v1/files."""

    type: Literal["file"]
    file_id: str


class UrlSource(Body):
    """A file that would have to be fetched, which is refused."""

    type: Literal["url"]
    url: str


class CitationsConfig(Body):
    """enabled: tell on which pages the quotes of the answer stand."""

    enabled: bool = False


class DocumentBlock(Cached):
    """A document. title: its name. context: what is said of it, and not cited."""

    type: Literal["document"]
    source: Annotated[
        PdfSource | PlainTextSource | ContentSource | FileSource | UrlSource,
        Field(discriminator="type"),
    ]
    title: Annotated[str, Field(max_length=MAX_NAME)] | None = None
    context: str | None = None
    citations: CitationsConfig | None = None


class ThinkingBlock(Body):
    """What the model thought. signature: of other servers; there is none here."""

    inert: ClassVar[frozenset[str]] = frozenset({"signature"})

    type: Literal["thinking"]
    thinking: str


class ToolUseBlock(Cached):
    """A call that the model made."""

    inert: ClassVar[frozenset[str]] = frozenset({"caller"})

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class OtherBlock(BaseModel):
    """What a model that reads text cannot take."""

    type: str


def _result_kind(block: object) -> str:
    kind = _type(block)
    return kind if isinstance(kind, str) and kind in ("text", "document") else "other"


def _type(block: object) -> object:
    return block.get("type") if isinstance(block, dict) else getattr(block, "type", None)


ResultBlock = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[DocumentBlock, Tag("document")]
    | Annotated[OtherBlock, Tag("other")],
    Discriminator(_result_kind),
]


class ToolResultBlock(Cached):
    """What a call gave back. is_error: the model is told that it failed."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[ResultBlock] | None = None
    is_error: bool = False


_KINDS = frozenset({"text", "document", "thinking", "tool_use", "tool_result"})


def _kind(block: object) -> str:
    kind = _type(block)
    return kind if isinstance(kind, str) and kind in _KINDS else "other"


Block = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[DocumentBlock, Tag("document")]
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


class Tool(Cached):
    """A function that the model may call. Forced calls always match their schema."""

    inert: ClassVar[frozenset[str]] = frozenset({"eager_input_streaming", "strict"})

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


class CountRequest(Cached):
    """POST /v1/messages/count_tokens: what decides the prompt.

    cache_control: of the last block.
    """

    inert: ClassVar[frozenset[str]] = frozenset({"metadata", "service_tier"})

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
    stop_sequences: Stops | None = None
    temperature: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    stream: bool | None = None
    longreach: LongreachOptions = LongreachOptions()

    @property
    def wants_citations(self) -> bool:
        """Whether a document of it asks for citations; then those of all are told."""
        blocks = [block for turn in self.messages for block in turn.content]
        documents = [block for block in blocks if isinstance(block, DocumentBlock)]
        return any(each.citations is not None and each.citations.enabled for each in documents)
