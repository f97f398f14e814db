"""Bodies that hold a conversation."""

from __future__ import annotations

from collections.abc import Iterable
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
    _paths: tuple[str, ...] = PrivateAttr(default=())

    @property
    def breakpoint_before(self) -> Breakpoint | None:
        """Set where the turns before this one are a prefix that is worth keeping."""
        return self._breakpoint_before

    def path_of(self, part: int, usual: str) -> str:
        """Where a part of the content stands in the client's body. usual: of this dialect."""
        return self._paths[part] if part < len(self._paths) else usual

    def found_at(self, paths: Iterable[str]) -> Message:
        """The same, whose parts stood elsewhere in another dialect's body."""
        self._paths = tuple(paths)
        return self

    def keep_before(self, wanted: Breakpoint) -> None:
        """Mark the end of the turns before this one; no client can, in this dialect.

        Of several, the longest counts.
        """
        known = self._breakpoint_before
        if known is None or known.ttl_s < wanted.ttl_s:
            self._breakpoint_before = wanted

    def end_prefix(self, wanted: Breakpoint) -> None:
        """Mark the end of this turn's text, unless its last part has a mark."""
        if not isinstance(self.content, list):
            self.content = [{"type": "text", "text": self.content or ""}]
        last = self.content[-1] if self.content else None
        if isinstance(last, dict):
            last.setdefault("prompt_cache_breakpoint", wanted.model_dump())


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
