"""What a request gives back, in the names that users of vLLM know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from longreach.engine.logprobs import Logprob

FinishReason = Literal["stop", "length", "abort", "error"]


@dataclass(frozen=True, kw_only=True)
class RequestMetrics:
    """Where the time, the memory and the attention of one request went.

    ttft_s: seconds from the request's arrival to its first token; None before that.
    prefill_tokens_per_s: prompt tokens computed (cached ones are not) per second of prefill.
    decode_tokens_per_s: tokens after the first per second since the first.
    num_cached_tokens: prompt tokens found in the cache; num_restored_tokens of them came from disk.
    recall_min, recall_mean: softmax mass kept by the sparse patterns, in (0, 1], measured on rows
        the patterns were not chosen on; 1.0 where all was dense. A reused prefix counts with the
        recall stored with its pages.
    density: computed / causal (row, key) pairs of the prompt rows computed; 1.0 for dense.
    peak_bytes: highest memory of the process (or of the GPU) since the request arrived.
    num_cache_written_tokens: prompt tokens that were computed, and that later prompts can find in
        the cache; known at the end.
    cache_miss_at, cache_miss_reason: the prompt token at which it left what was known, and why. No
        reason: all that could be cached was. A reason alone: nothing was known, or nothing reused.
    queue_s, prefill_s, decode_s: arrival to first step, to first token, to the last; None before.
    num_draft_tokens, num_accepted_tokens: guesses of the answer's tokens that were checked, and
        those that were right.
    """

    ttft_s: float | None = None
    prefill_tokens_per_s: float | None = None
    decode_tokens_per_s: float | None = None
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_restored_tokens: int = 0
    num_generated_tokens: int = 0
    num_preemptions: int = 0
    recall_min: float = 1.0
    recall_mean: float = 1.0
    density: float = 1.0
    peak_bytes: int = 0
    num_cache_written_tokens: int = 0
    cache_miss_at: int | None = None
    cache_miss_reason: str | None = None
    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class CompletionOutput:
    """One of the `n` answers to a prompt.

    logprobs: one mapping id -> Logprob per token, None when they were not asked for.
    stop_reason: the stop string or stop id that ended the answer; None for the end-of-text token.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    cumulative_logprob: float | None = None
    logprobs: Sequence[Mapping[int, Logprob]] | None = None
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None

    @property
    def finished(self) -> bool:
        """Whether no token will follow."""
        return self.finish_reason is not None


@dataclass(frozen=True, kw_only=True)
class RequestOutput:
    """A prompt with its answers: whole from `generate`, only what is new from `stream`.

    prompt: the text, None for a prompt given as ids.
    prompt_logprobs: one entry per prompt token, the first None; None when not asked for.
    embedding: the prompt as one vector, where that was asked for instead of an answer.
    attention: of the last output, where the request has attention_spans: the share of the first
        answer's attention that fell in each of them; together 1. None before, without spans, and
        where no attention fell in any.
    error: why the request ended, for finish_reason "error"; never a neighbour's failure.
    """

    request_id: str
    prompt: str | None
    prompt_token_ids: Sequence[int]
    outputs: Sequence[CompletionOutput]
    finished: bool
    prompt_logprobs: Sequence[Mapping[int, Logprob] | None] | None = None
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    embedding: tuple[float, ...] | None = None
    attention: tuple[float, ...] | None = None
    error: Exception | None = None
