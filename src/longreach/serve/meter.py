"""Follows one prompt through the engine: for the metrics, the key's limit and the log's line."""

from __future__ import annotations

from time import perf_counter

from longreach.engine.outputs import CompletionOutput, RequestMetrics, RequestOutput
from longreach.engine.protocol import PromptProgress
from longreach.serve.access import RequestUsage
from longreach.serve.limits import Charge
from longreach.serve.metrics import ServerMetrics


class Meter:
    """Shown every item of a submission, then closed, in whatever way it ended.

    usage: of the HTTP request that the prompt belongs to.
    """

    def __init__(
        self, metrics: ServerMetrics, usage: RequestUsage, charge: Charge, num_prompt_tokens: int
    ) -> None:
        self._metrics = metrics
        self._usage = usage
        self._charge = charge
        self._num_prompt_tokens = num_prompt_tokens
        self._progress: PromptProgress | None = None
        self._last_s: dict[int, float] = {}
        self._has_answered = False
        self._has_ended = False
        usage.prompt_tokens += num_prompt_tokens

    def see(self, item: RequestOutput | PromptProgress) -> None:
        """What is new."""
        if isinstance(item, PromptProgress):
            self._see_progress(item)
        elif (reason := _failure(item)) is not None:
            self._give_up(reason)
        else:
            self._see_output(item)

    def close(self) -> None:
        """Nothing more comes. May be called more than once."""
        self._give_up("abort")

    def _give_up(self, reason: str) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._metrics.ended(reason)
        if not self._has_answered:
            self._metrics.cancelled("prefill" if self._progress else "queued")
            self._charge.settle(_computed(self._progress))

    def _see_progress(self, progress: PromptProgress) -> None:
        if self._progress is None:
            self._charge.settle(progress.total - progress.cached)
        self._progress = progress

    def _see_output(self, item: RequestOutput) -> None:
        if not self._has_answered:
            self._has_answered = True
            self._see_first(item.metrics)
        for output in item.outputs:
            self._see_tokens(output)
        if item.finished:
            self._has_ended = True
            self._see_last(item.metrics)

    def _see_first(self, metrics: RequestMetrics) -> None:
        self._charge.settle(metrics.num_prompt_tokens - metrics.num_cached_tokens)
        self._metrics.prompt_tokens.inc(metrics.num_prompt_tokens)
        self._metrics.cached_tokens.inc(metrics.num_cached_tokens)
        self._metrics.prompt_length.observe(metrics.num_prompt_tokens)
        for histogram, value in (
            (self._metrics.ttft, metrics.ttft_s),
            (self._metrics.queue, metrics.queue_s),
            (self._metrics.prefill, metrics.prefill_s),
            (self._metrics.prefill_rate, metrics.prefill_tokens_per_s),
        ):
            if value is not None:
                histogram.observe(value)
        self._usage.cached_tokens += metrics.num_cached_tokens
        if self._usage.ttft_s is None:
            self._usage.ttft_s = metrics.ttft_s

    def _see_tokens(self, output: CompletionOutput) -> None:
        count, now_s = len(output.token_ids), perf_counter()
        last_s = self._last_s.get(output.index)
        if count:
            self._metrics.generated_tokens.inc(count)
            self._usage.generated_tokens += count
            self._last_s[output.index] = now_s
        if count and last_s is not None:
            self._metrics.itl.observe((now_s - last_s) / count)
        if output.finish_reason is not None:
            self._metrics.ended(output.finish_reason)

    def _see_last(self, metrics: RequestMetrics) -> None:
        self._metrics.answer_length.observe(metrics.num_generated_tokens)
        if metrics.decode_s is not None:
            self._metrics.decode.observe(metrics.decode_s)
        steps = (metrics.queue_s, metrics.prefill_s, metrics.decode_s)
        if all(step is not None for step in steps):
            self._metrics.e2e.observe(sum(step or 0.0 for step in steps))


def _failure(item: RequestOutput) -> str | None:
    if item.error is not None:
        return "error"
    return "abort" if any(each.finish_reason == "abort" for each in item.outputs) else None


def _computed(progress: PromptProgress | None) -> int:
    return 0 if progress is None else progress.processed - progress.cached
