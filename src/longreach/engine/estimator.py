"""What a prompt would take now, with what of it is cached; the machine is measured once."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

from longreach.engine.calibrate import Calibration, Rates
from longreach.engine.prefill_time import prefill_time, text_range
from longreach.engine.protocol import PromptEstimate
from longreach.engine.sparse_choice import wanted_provenance

if TYPE_CHECKING:
    from longreach.engine.engine import Engine


class Estimator:
    """Estimates for one engine. Thread-safe; blocks for the first one's measurement (a second)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rates: Rates | None = None
        self._lock = Lock()

    def rates(self) -> Rates:
        """This machine's speed with this model, measured when first asked for."""
        with self._lock:
            if self._rates is None:
                footprint, device = self._engine.footprint, self._engine.runner.device
                quantization = footprint.engine.quantization
                self._rates = Calibration(
                    footprint.model, footprint.dtype, device, quantization
                ).measure()
            return self._rates

    def estimate(
        self, token_ids: Sequence[int], *, max_tokens: int, cache_salt: str
    ) -> PromptEstimate:
        """For a prompt of these ids: seconds to its first token if nothing else ran."""
        engine, total = self._engine, len(token_ids)
        in_memory, on_disk = self.num_cached(token_ids, max_tokens, cache_salt)
        cached = in_memory + on_disk
        texts = text_range(engine.config, total)
        whole_s, cached_s = (
            prefill_time(engine.footprint, self.rates(), count, texts).expected_s
            for count in (total, cached)
        )
        pool_tokens = engine.cache.num_pages * engine.cache.page_size
        needed = total + max_tokens
        return PromptEstimate(
            num_tokens=total,
            num_cached_tokens=cached,
            max_model_len=engine.max_model_len,
            fits=needed <= min(engine.max_model_len, pool_tokens),
            num_disk_tokens=on_disk,
            seconds=max(whole_s - cached_s, 0.0) + self._restoring_s(on_disk),
            peak_bytes=engine.footprint.plan(total, kv_tokens=pool_tokens).total,
        )

    def _restoring_s(self, num_tokens: int) -> float:
        engine = self._engine
        num_bytes = num_tokens * engine.footprint.kv_bytes_per_token
        return num_bytes / engine.scheduler.restorer.bytes_per_s

    def num_cached(
        self, token_ids: Sequence[int], max_tokens: int, cache_salt: str
    ) -> tuple[int, int]:
        """Tokens found in memory, and those that follow them on disk; measures nothing."""
        # Look-ups in the index while the loop changes it: each is one dictionary's, and a page
        # that goes meanwhile makes this estimate old, not wrong.
        engine = self._engine
        positions = engine.admission.positions.of_request(len(token_ids), max(max_tokens, 1))
        table = engine.cache.open_table(
            token_ids, cache_salt=cache_salt, request_seed=positions.seed
        )
        wanted = wanted_provenance(engine.config.sparse, len(token_ids))
        prefix = engine.cache.match_table(table, wanted)
        parts = engine.cache.find_on_disk(table, wanted, prefix)
        if parts:
            prefix = prefix.in_full_pages()
        return prefix.num_tokens, sum(part.num_tokens for part in parts)
