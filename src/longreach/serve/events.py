"""What happens to a request, in the order it happens: all that a family of routes needs to know.

PromptProgress* Piece+ Finished
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from longreach.engine.outputs import FinishReason, RequestMetrics
from longreach.engine.protocol import PromptProgress
from longreach.text.tools import ArgumentsDelta, CallEnded, CallStarted, Content

if TYPE_CHECKING:
    from longreach.engine.logprobs import Logprob
    from longreach.serve.documents.sources import Sources


@dataclass(frozen=True)
class Reasoning:
    """Text that the model wrote to itself."""

    text: str


Part: TypeAlias = Content | Reasoning | CallStarted | ArgumentsDelta | CallEnded
"""A piece of an answer. Calls are `text.tools`' events."""
TokenLogprobs: TypeAlias = "Mapping[int, Logprob]"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What came of one of the `n` answers.

    parts: new and final. token_ids, logprobs: of the tokens drawn, whose text may still be held
    back. finish_reason: of the engine, with the last piece of this answer; has_calls: whether the
    answer holds tool calls, so far.
    """

    index: int
    parts: Sequence[Part]
    token_ids: Sequence[int] = ()
    logprobs: Sequence[TokenLogprobs] | None = None
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None
    has_calls: bool = False


@dataclass(frozen=True, kw_only=True)
class Finished:
    """All answers have ended. reasoning_tokens: tokens of all answers that were `Reasoning`.

    sources: where the answers come from, for prompts with documents.
    """

    metrics: RequestMetrics
    reasoning_tokens: int = 0
    prompt_logprobs: Sequence[TokenLogprobs | None] | None = None
    sources: Sources | None = None


Event: TypeAlias = PromptProgress | Piece | Finished
