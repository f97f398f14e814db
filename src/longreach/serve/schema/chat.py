"""Bodies that hold a conversation."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from longreach.serve.schema.base import Body
from longreach.serve.schema.caching import Breakpoint
from longreach.serve.schema.documents import LongreachOptions
from longreach.serve.schema.sampling import MAX_LOGPROBS, ResponseFormat, SamplingFields

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class FunctionCall(Body):
    """A call in the history. arguments: JSON text."""

    name: str
    arguments: str = ""


class ToolCallParam(Body):
    """A call in the history, with its id."""

    inert: ClassVar[frozenset[str]] = frozenset({"index"})

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Body):
    """One turn. Contents are text or parts; what an answer of ours holds can be sent back."""

    inert: ClassVar[frozenset[str]] = frozenset(
        {"refusal", "annotations", "audio", "reasoning", "provider_specific_fields", "extra"}
    )

    role: Role
    content: str | list[dict[str, Any] | str] | None = None
    name: str | None = None
    tool_calls: list[ToolCallParam] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    reasoning_content: str | None = None
    _breakpoint_before: Breakpoint | None = PrivateAttr(default=None)

    @property
    def breakpoint_before(self) -> Breakpoint | None:
        """Set where the turns before this one are a prefix that is worth keeping."""
        return self._breakpoint_before

    def keep_before(self, wanted: Breakpoint) -> None:
        """Mark the end of the turns before this one; no client can, in this dialect."""
        self._breakpoint_before = wanted


class NamedFunction(Body):
    """The function that has to be called."""

    name: str


class NamedTool(Body):
    """tool_choice of one function, as chat completions write it."""

    type: Literal["function"]
    function: NamedFunction


Messages = Annotated[list[Message], Field(min_length=1, fail_fast=True)]
Tools = Annotated[list[dict[str, Any]], Field(fail_fast=True)]


class ConversationFields(Body):
    """What decides the prompt of a conversation; also the body of the routes that only count.

    tools: raw, because a template shows them key by key as they were sent.
    """

    messages: Messages
    tools: Tools | None = None
    functions: Tools | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] | None = None
    enable_thinking: bool | None = None


class ChatRequest(SamplingFields, ConversationFields):
    """POST /v1/chat/completions."""

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    function_call: Literal["none", "auto"] | NamedFunction | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    longreach: LongreachOptions = LongreachOptions()


class CountRequest(ConversationFields):
    """POST /v1/chat/completions/input_tokens and /apply-template."""

    model: str | None = None
