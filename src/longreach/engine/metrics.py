"""Clocks, attention statistics and memory peaks of requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import torch

from longreach.engine.cache_miss import NO_MISS, CacheMiss
from longreach.engine.outputs import RequestMetrics
from longreach.platform import peak_resident_bytes

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass
class AttentionStats:
    """Recall and density gathered over the layers and segments of one request.

    Recalls are held-out means per head; each weighs as many rows as its segment has. Pairs are
    (row, key) pairs per head, summed over heads and layers.
    """

    recall_min: float = 1.0
    recall_weight: float = 0.0
    recall_sum: float = 0.0
    computed_pairs: float = 0.0
    causal_pairs: float = 0.0

    def add_recall(self, recall_N: torch.Tensor, rows: int) -> None:
        """Count one pattern's recall per head (fp32 or fp64, [N])."""
        low, mean = float(recall_N.min()), float(recall_N.mean())
        self.recall_min = min(self.recall_min, low)
        self.recall_sum += mean * rows
        self.recall_weight += rows

    def add_prefix(self, recall_min: float, recall_mean: float, rows: float) -> None:
        """Count reused rows with the recall stored with their pages."""
        self.recall_min = min(self.recall_min, recall_min)
        self.recall_sum += recall_mean * rows
        self.recall_weight += rows

    def add_dense(self, rows: int) -> None:
        """Count rows of one layer that attended to everything."""
        self.recall_sum += rows
        self.recall_weight += rows

    def add_pairs(self, computed: float, causal: float) -> None:
        """Count pairs of one layer and slice."""
        self.computed_pairs += computed
        self.causal_pairs += causal

    def merge(self, other: AttentionStats) -> None:
        """Count what another one has counted."""
        self.recall_min = min(self.recall_min, other.recall_min)
        self.recall_sum += other.recall_sum
        self.recall_weight += other.recall_weight
        self.add_pairs(other.computed_pairs, other.causal_pairs)

    @property
    def recall_mean(self) -> float:
        """1.0 before anything was measured."""
        return self.recall_sum / self.recall_weight if self.recall_weight else 1.0

    @property
    def density(self) -> float:
        """1.0 before anything was computed."""
        return self.computed_pairs / self.causal_pairs if self.causal_pairs else 1.0


@dataclass
class RequestClock:
    """Times of one request, in seconds of `perf_counter`."""

    arrival_s: float = field(default_factory=perf_counter)
    first_step_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    num_tokens: int = 0

    def on_step(self) -> None:
        """The request takes part in a step for the first time (later calls change nothing)."""
        if self.first_step_s is None:
            self.first_step_s = perf_counter()

    def on_token(self) -> None:
        """A token was sampled."""
        now = perf_counter()
        if self.first_token_s is None:
            self.first_token_s = now
        self.last_token_s = now
        self.num_tokens += 1

    @property
    def queue_s(self) -> float | None:
        """Arrival to first step."""
        return None if self.first_step_s is None else self.first_step_s - self.arrival_s

    @property
    def prefill_s(self) -> float | None:
        """First step to first token."""
        if self.first_token_s is None or self.first_step_s is None:
            return None
        return self.first_token_s - self.first_step_s

    @property
    def decode_s(self) -> float | None:
        """First token to last."""
        if self.first_token_s is None or self.last_token_s is None:
            return None
        return self.last_token_s - self.first_token_s

    @property
    def ttft_s(self) -> float | None:
        """Arrival to first token."""
        return None if self.first_token_s is None else self.first_token_s - self.arrival_s

    def prefill_rate(self, num_tokens: int) -> float | None:
        """Tokens per second from the first step to the first token."""
        seconds = self.prefill_s
        return None if seconds is None or num_tokens <= 0 else num_tokens / max(seconds, 1e-9)

    @property
    def decode_rate(self) -> float | None:
        """Tokens per second after the first."""
        seconds = self.decode_s
        if seconds is None or self.num_tokens < 2:
            return None
        return (self.num_tokens - 1) / max(seconds, 1e-9)


class PeakMemory:
    """Highest memory in use since the last reset.

    On a GPU: torch's allocator. Else the resident set of this process: the kernel's high-water
    mark, reset through /proc/self/clear_refs where that is allowed, otherwise the peak since the
    process began (which is never too low).
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def reset(self) -> None:
        """Forget the peak so far."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
        except OSError:
            return

    def read(self) -> int:
        """Bytes."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        try:
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass
        return peak_resident_bytes()


def make_metrics(
    clock: RequestClock,
    stats: AttentionStats,
    *,
    num_prompt_tokens: int,
    num_cached_tokens: int,
    num_generated_tokens: int,
    num_preemptions: int,
    peak_bytes: int,
    num_cache_written_tokens: int = 0,
    cache_miss: CacheMiss = NO_MISS,
    num_restored_tokens: int = 0,
    num_draft_tokens: int = 0,
    num_accepted_tokens: int = 0,
) -> RequestMetrics:
    """Freeze what was measured so far."""
    return RequestMetrics(
        ttft_s=clock.ttft_s,
        prefill_tokens_per_s=clock.prefill_rate(num_prompt_tokens - num_cached_tokens),
        decode_tokens_per_s=clock.decode_rate,
        num_prompt_tokens=num_prompt_tokens,
        num_cached_tokens=num_cached_tokens,
        num_restored_tokens=num_restored_tokens,
        num_generated_tokens=num_generated_tokens,
        num_preemptions=num_preemptions,
        recall_min=stats.recall_min,
        recall_mean=stats.recall_mean,
        density=stats.density,
        peak_bytes=peak_bytes,
        num_cache_written_tokens=num_cache_written_tokens,
        cache_miss_at=cache_miss.at,
        cache_miss_reason=cache_miss.reason,
        queue_s=clock.queue_s,
        prefill_s=clock.prefill_s,
        decode_s=clock.decode_s,
        num_draft_tokens=num_draft_tokens,
        num_accepted_tokens=num_accepted_tokens,
    )
