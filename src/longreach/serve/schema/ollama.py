"""Bodies of Ollama's API."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from longreach.serve.schema.base import Body
from longreach.serve.schema.sampling import Penalty, RepetitionPenalty, Stop, Stops

One = Annotated[float, Field(ge=1.0, le=1.0)]


class Options(Body):
    """How an answer is drawn. Inert: how a model is loaded, which it is already.

    num_ctx: the context that is expected; it may not be more than there is. num_keep: what stays
    when a context overflows, which none does here. num_predict: -1 and -2 are no limit.
    repeat_last_n: penalties look at all of the text, so -1. Samplers that are not here (typical_p,
    tfs_z, mirostat) can only be switched off.
    """

    inert: ClassVar[frozenset[str]] = frozenset(
        {
            "num_keep",
            "num_batch",
            "num_gpu",
            "main_gpu",
            "num_thread",
            "numa",
            "use_mmap",
            "use_mlock",
            "low_vram",
            "f16_kv",
            "mirostat_tau",
            "mirostat_eta",
        }
    )

    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    num_predict: Annotated[int, Field(ge=-2)] | None = None
    stop: Stop | Stops | None = None
    repeat_penalty: RepetitionPenalty | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    num_ctx: Annotated[int, Field(ge=1)] | None = None
    repeat_last_n: Literal[-1] | None = None
    typical_p: One | None = None
    tfs_z: One | None = None
    mirostat: Literal[0] | None = None


class CalledFunction(Body):
    """A function with its arguments."""

    inert: ClassVar[frozenset[str]] = frozenset({"index"})

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ToolCall(Body):
    """A call in the history."""

    inert: ClassVar[frozenset[str]] = frozenset({"type"})

    id: str | None = None
    function: CalledFunction


class OllamaMessage(Body):
    """One turn. tool_name: whose result it is."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class AnswerFields(Body):
    """What both ways of asking share. keep_alive: the model stays loaded whatever it says.

    truncate, shift: prompts and answers are never cut silently.
    """

    inert: ClassVar[frozenset[str]] = frozenset({"keep_alive"})

    model: str
    stream: bool = True
    format: Literal["", "json"] | dict[str, Any] | None = None
    options: Options | None = None
    think: bool | Literal["low", "medium", "high"] | None = None
    truncate: Literal[False] | None = None
    shift: Literal[False] | None = None


class OllamaChatRequest(AnswerFields):
    """POST /api/chat. Without messages: is the model there?"""

    messages: Annotated[list[OllamaMessage], Field(fail_fast=True)] = Field(default_factory=list)
    tools: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = None


class GenerateRequest(AnswerFields):
    """POST /api/generate. raw: the prompt as it is, without the model's template."""

    prompt: str = ""
    system: str | None = None
    suffix: Literal[""] | None = None
    images: list[str] | None = None
    raw: bool = False


class ShowRequest(Body):
    """POST /api/show. name: as `model` was called before."""

    inert: ClassVar[frozenset[str]] = frozenset({"verbose"})

    model: str | None = None
    name: str | None = None
