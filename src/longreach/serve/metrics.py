"""What Prometheus reads, in vLLM's names, so that its dashboards work here.

Each server has a registry of its own. Requests tell their `Meter` (meter.py); the engine's own
figures are asked for when somebody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from longreach.engine.protocol import EngineStatus

LABEL = "model_name"
SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 60.0, 120.0, 240.0, 360.0, 480.0, 600.0),
)
"""Up to ten minutes: so long may a million tokens take to read."""
TOKENS = (*(step * 10**power for power in range(6) for step in (1, 2, 5)), 1_000_000)

StatusOf = Callable[[], EngineStatus | None]


@dataclass(frozen=True)
class _Names:
    """Makes metrics that carry the server's prefix and the model's name."""

    prefix: str
    model_name: str
    registry: CollectorRegistry

    def histogram(self, name: str, text: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
        made = Histogram(
            self.prefix + name, text, (LABEL,), registry=self.registry, buckets=buckets
        )
        return made.labels(self.model_name)

    def counter(self, name: str, text: str) -> Counter:
        return self.labelled(name, text).labels(self.model_name)

    def labelled(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(self.prefix + name, text, (LABEL, *labels), registry=self.registry)


class ServerMetrics:
    """The metrics of one server. status_of: the engine's, None while there is no engine."""

    def __init__(self, prefix: str, model_name: str, status_of: StatusOf) -> None:
        self.registry = CollectorRegistry()
        names = _Names(prefix, model_name, self.registry)
        self.registry.register(EngineCollector(prefix, model_name, status_of))
        histogram, counter = names.histogram, names.counter
        self.ttft = histogram("time_to_first_token_seconds", "From arrival to the first token.")
        self.itl = histogram("inter_token_latency_seconds", "Between two tokens of an answer.")
        self.e2e = histogram("e2e_request_latency_seconds", "From arrival to the last token.")
        self.queue = histogram("request_queue_time_seconds", "Waiting for a seat.")
        self.prefill = histogram("request_prefill_time_seconds", "Reading the prompt.")
        self.decode = histogram("request_decode_time_seconds", "Writing, after the first token.")
        self.prompt_length = histogram("request_prompt_tokens", "Tokens of a prompt.", TOKENS)
        self.answer_length = histogram(
            "request_generation_tokens", "Tokens of all answers to a prompt.", TOKENS
        )
        self.prefill_rate = histogram(
            "prefill_tokens_per_second", "Prompt tokens computed per second of prefill.", TOKENS
        )
        self.prompt_tokens = counter("prompt_tokens", "Prompt tokens read, cached ones included.")
        self.cached_tokens = counter("prompt_tokens_cached", "Of these, found in the cache.")
        self.generated_tokens = counter("generation_tokens", "Tokens drawn.")
        self._ended = names.labelled("request_success", "Answers ended.", "finished_reason")
        self._cancelled = names.labelled(
            "prefill_cancelled", "Prompts given up before their first token.", "stage"
        )
        self._model_name = model_name

    def ended(self, reason: str) -> None:
        """An answer has ended: stop, length, abort or error."""
        self._ended.labels(self._model_name, reason).inc()

    def cancelled(self, stage: str) -> None:
        """A prompt was given up: queued or prefill."""
        self._cancelled.labels(self._model_name, stage).inc()


class EngineCollector(Collector):
    """The engine's figures as of the moment somebody reads them."""

    def __init__(self, prefix: str, model_name: str, status_of: StatusOf) -> None:
        self._prefix = prefix
        self._model_name = model_name
        self._status_of = status_of

    def collect(self) -> Iterator[Metric]:
        """All of them; none while the model loads."""
        status = self._status_of()
        if status is None:
            return
        yield self._gauge("num_requests_running", "Requests in work.", status.num_running)
        yield self._gauge("num_requests_waiting", "Requests in the queue.", status.num_waiting)
        yield self._gauge("kv_cache_usage_perc", "Pages in use, from 0 to 1.", status.kv_usage)
        for name, text, value in (
            ("prefix_cache_queries", "Prompt tokens looked up.", status.prefix_queries),
            ("prefix_cache_hits", "Prompt tokens found.", status.prefix_hits),
            ("num_preemptions", "Requests put back.", status.num_preemptions),
        ):
            yield self._filled(CounterMetricFamily, name, text, value)
        yield self._cache_config(status)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        return self._filled(GaugeMetricFamily, name, text, value)

    def _filled(self, family: Any, name: str, text: str, value: float) -> Metric:
        made = family(self._prefix + name, text, labels=[LABEL])
        made.add_metric([self._model_name], value)
        return made

    def _cache_config(self, status: EngineStatus) -> Metric:
        """vLLM's labels: its blocks are our pages."""
        labels = [LABEL, "block_size", "num_gpu_blocks"]
        made = GaugeMetricFamily(self._prefix + "cache_config_info", "Pages.", labels=labels)
        made.add_metric([self._model_name, str(status.page_size), str(status.num_kv_pages)], 1)
        return made
