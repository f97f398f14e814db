"""Records as the figures that `vllm bench serve` reports, by the names of its JSON file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from longreach.bench.serve.client import RequestRecord

METRICS: dict[str, tuple[str, Callable[[RequestRecord], list[float]]]] = {
    "ttft": ("Time to first token", lambda record: [record.ttft_s]),
    "tpot": ("Time per output token", lambda record: [record.tpot_s] if record.tpot_s else []),
    "itl": ("Inter-token latency", lambda record: record.itls_s),
    "e2el": ("End-to-end latency", lambda record: [record.latency_s]),
}
"""Name -> title, and the values of one request, in seconds."""


def summarise(
    records: Sequence[RequestRecord],
    duration_s: float,
    *,
    metrics: Sequence[str] = tuple(METRICS),
    percentiles: Sequence[float] = (50, 90, 99),
) -> dict[str, Any]:
    """Counts, rates, and for each metric mean, median, standard deviation and percentiles in ms.

    Requests that failed are counted, and left out of everything else.
    """
    done = [record for record in records if not record.error]
    total_input = sum(record.num_prompt_tokens for record in done)
    total_output = sum(record.num_output_tokens for record in done)
    figures: dict[str, Any] = {
        "duration": duration_s,
        "completed": len(done),
        "failed": len(records) - len(done),
        "total_input_tokens": total_input,
        "total_output_tokens": total_output,
        "request_throughput": len(done) / duration_s,
        "output_throughput": total_output / duration_s,
        "total_token_throughput": (total_input + total_output) / duration_s,
    }
    for name in metrics:
        values = [value for record in done for value in METRICS[name][1](record)]
        figures |= _spread(name, values, percentiles)
    return figures


def details(records: Sequence[RequestRecord]) -> dict[str, Any]:
    """What each request did, in the order of the prompts."""
    return {
        "input_lens": [record.num_prompt_tokens for record in records],
        "output_lens": [record.num_output_tokens for record in records],
        "ttfts": [0.0 if record.error else record.ttft_s for record in records],
        "itls": [[] if record.error else record.itls_s for record in records],
        "errors": [record.error for record in records],
    }


def percentile_name(percentile: float) -> str:
    """99.0 -> "p99", 99.9 -> "p99.9"."""
    return f"p{percentile:g}"


def _spread(name: str, values_s: Sequence[float], percentiles: Sequence[float]) -> dict[str, float]:
    values_ms = np.asarray(values_s or [0.0]) * 1000
    figures = {
        f"mean_{name}_ms": float(values_ms.mean()),
        f"median_{name}_ms": float(np.median(values_ms)),
        f"std_{name}_ms": float(values_ms.std()),
    }
    for percentile in percentiles:
        value = float(np.percentile(values_ms, percentile))
        figures[f"{percentile_name(percentile)}_{name}_ms"] = value
    return figures
