"""A caller's request inside the engine: one prompt, its `n` answers, and what was measured.

The scheduler knows one `Request` per answer; everything that has to do with text and with the
caller is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longreach.engine.cache_miss import NO_MISS, CacheMiss
from longreach.engine.logprobs import Logprob, PromptLogprobs
from longreach.engine.metrics import AttentionStats, RequestClock, make_metrics
from longreach.engine.outputs import CompletionOutput, RequestMetrics, RequestOutput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from longreach.engine.attention_look import AttentionLook
    from longreach.engine.outputs import FinishReason
    from longreach.engine.pooling import Pooler
    from longreach.engine.positions import RequestPositions
    from longreach.engine.prompt_lookup import PromptLookup
    from longreach.engine.request import Request
    from longreach.engine.sampler import SampledToken, SamplingState
    from longreach.engine.sampling_params import SamplingParams
    from longreach.engine.sparse_choice import Rows
    from longreach.text import Detokenizer


@dataclass(kw_only=True, eq=False)
class Answer:
    """One of the `n` continuations of a prompt.

    look: where its rows look, where that is asked. lookup: guesses its tokens, where that may be.
    """

    index: int
    request: Request
    choice: Rows
    sampling: SamplingState
    detokenizer: Detokenizer | None
    logprobs: list[Mapping[int, Logprob]] | None = None
    cumulative_logprob: float | None = None
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None
    look: AttentionLook | None = None
    lookup: PromptLookup | None = None
    _sent_chars: int = 0
    _sent_tokens: int = 0
    _sent_end: bool = False

    @property
    def token_ids(self) -> list[int]:
        """Tokens sampled so far."""
        return self.request.output_token_ids

    @property
    def text(self) -> str:
        """What of their text is final."""
        return "" if self.detokenizer is None else self.detokenizer.text

    def take(self, token: SampledToken) -> bool:
        """Count a token that was just sampled.

        Whether it ends the answer: by its id, by a stop string, or as a grammar's last one.
        """
        if self.logprobs is not None and token.logprobs is not None:
            self.logprobs.append(token.logprobs)
            own = token.logprobs[token.token_id].logprob
            self.cumulative_logprob = (self.cumulative_logprob or 0.0) + own
        params = self.sampling.params
        if token.token_id in self.sampling.stop_ids:
            asked = token.token_id in (params.stop_token_ids or ())
            self.stop_reason = token.token_id if asked else None
            if params.include_stop_str_in_output:
                self._feed(token.token_id)
            return True
        return self._feed(token.token_id) or token.ends_grammar

    def _feed(self, token_id: int) -> bool:
        """Add the token's text; whether a stop string ended it."""
        if self.detokenizer is None:
            return False
        self.detokenizer.feed([token_id])
        if self.detokenizer.stop is None:
            return False
        self.stop_reason = self.detokenizer.stop
        return True

    def finish(self, reason: FinishReason) -> None:
        """No token will follow."""
        if self.finish_reason is None:
            self.finish_reason = reason
            if self.detokenizer is not None:
                self.detokenizer.finish()

    def whole(self) -> CompletionOutput:
        """Everything so far."""
        return self._output(0, 0)

    @property
    def has_news(self) -> bool:
        """Whether `delta` would say anything."""
        ended = self.finish_reason is not None and not self._sent_end
        return ended or len(self.token_ids) > self._sent_tokens

    def delta(self) -> CompletionOutput:
        """What came since the last delta."""
        output = self._output(self._sent_chars, self._sent_tokens)
        self._sent_chars, self._sent_tokens = len(self.text), len(self.token_ids)
        self._sent_end = self.finish_reason is not None
        return output

    def _output(self, char: int, token: int) -> CompletionOutput:
        return CompletionOutput(
            index=self.index,
            text=self.text[char:],
            token_ids=tuple(self.token_ids[token:]),
            cumulative_logprob=self.cumulative_logprob,
            logprobs=None if self.logprobs is None else self.logprobs[token:],
            finish_reason=self.finish_reason,
            stop_reason=self.stop_reason,
        )


@dataclass(kw_only=True, eq=False)
class RequestGroup:
    """One prompt and its answers.

    stream: deltas are wanted after every step, not only the whole at the end.
    pooler: the prompt shall become one vector, `embedding`; nothing is sampled then.
    """

    request_id: str
    prompt: str | None
    prompt_token_ids: Sequence[int]
    params: SamplingParams
    positions: RequestPositions
    stream: bool
    answers: list[Answer] = field(default_factory=list)
    prompt_logprobs: PromptLogprobs | None = None
    pooler: Pooler | None = None
    embedding: tuple[float, ...] | None = None
    clock: RequestClock = field(default_factory=RequestClock)
    stats: AttentionStats = field(default_factory=AttentionStats)
    cache_miss: CacheMiss = NO_MISS
    num_preemptions: int = 0
    peak_bytes: int = 0
    error: Exception | None = None
    _sent_prompt_logprobs: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether every answer has ended."""
        return all(answer.finish_reason is not None for answer in self.answers)

    @property
    def num_cached_tokens(self) -> int:
        """Prompt tokens found in the cache; siblings' share of the first's pages is not counted."""
        return self.answers[0].request.num_cached_tokens

    @property
    def num_processed_tokens(self) -> int:
        """Prompt tokens read so far, cached ones included."""
        read = self.answers[0].request.num_computed_tokens
        return min(read, len(self.prompt_token_ids))

    def metrics(self) -> RequestMetrics:
        """What was measured so far."""
        return make_metrics(
            self.clock,
            self.stats,
            num_prompt_tokens=len(self.prompt_token_ids),
            num_cached_tokens=self.num_cached_tokens,
            num_restored_tokens=self.answers[0].request.num_restored_tokens,
            num_generated_tokens=sum(len(answer.token_ids) for answer in self.answers),
            num_preemptions=self.num_preemptions,
            peak_bytes=self.peak_bytes,
            num_cache_written_tokens=self.answers[0].request.num_named_tokens,
            num_draft_tokens=sum(a.request.num_draft_tokens for a in self.answers),
            num_accepted_tokens=sum(a.request.num_accepted_tokens for a in self.answers),
            cache_miss=self.cache_miss,
        )

    @property
    def attention(self) -> tuple[float, ...] | None:
        """Where the first answer looked; None until all answers have ended, or when not asked."""
        look = self.answers[0].look
        return look.shares if look is not None and self.is_finished else None

    def whole(self) -> RequestOutput:
        """Everything so far."""
        return self._output([answer.whole() for answer in self.answers], with_prompt=True)

    def delta(self) -> RequestOutput | None:
        """What came since the last delta; None when nothing did."""
        news = [answer.delta() for answer in self.answers if answer.has_news]
        if not news:
            return None
        first, self._sent_prompt_logprobs = not self._sent_prompt_logprobs, True
        return self._output(news, with_prompt=first)

    def _output(self, outputs: list[CompletionOutput], *, with_prompt: bool) -> RequestOutput:
        collected = self.prompt_logprobs
        return RequestOutput(
            request_id=self.request_id,
            prompt=self.prompt,
            prompt_token_ids=self.prompt_token_ids,
            prompt_logprobs=collected.entries if collected and with_prompt else None,
            outputs=outputs,
            finished=self.is_finished,
            metrics=self.metrics(),
            embedding=self.embedding,
            attention=self.attention,
            error=self.error,
        )
