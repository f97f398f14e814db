"""Results as rows for people: what, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longreach.bench.serve.summary import METRICS, percentile_name

Rows = list[tuple[str, str]]


def load_rows(result: dict[str, Any], metrics: Sequence[str], percentiles: Sequence[float]) -> Rows:
    """Rows of `summary.summarise`."""
    rows = [
        ("Successful requests", f"{result['completed']}"),
        ("Failed requests", f"{result['failed']}"),
        ("Benchmark duration (s)", f"{result['duration']:.2f}"),
        ("Total input tokens", f"{result['total_input_tokens']:,}"),
        ("Total generated tokens", f"{result['total_output_tokens']:,}"),
        ("Request throughput (req/s)", f"{result['request_throughput']:.2f}"),
        ("Output token throughput (tok/s)", f"{result['output_throughput']:.2f}"),
        ("Total token throughput (tok/s)", f"{result['total_token_throughput']:.2f}"),
    ]
    for name in metrics:
        title = METRICS[name][0]
        spread = ("mean", "median", *map(percentile_name, percentiles))
        rows += [(f"{title}, {each} (ms)", f"{result[f'{each}_{name}_ms']:.2f}") for each in spread]
    return rows


def mixed_rows(result: dict[str, Any]) -> Rows:
    """Rows of `mixed.MixedLoad`."""
    chats, tokens = result["num_chats"], result["prefill_tokens"]
    return [
        (f"{chats} chats alone: p99 inter-token (ms)", f"{result['p99_itl_alone_ms']:.2f}"),
        (f"with {tokens:,} tokens read: p99 (ms)", f"{result['p99_itl_mixed_ms']:.2f}"),
        ("ratio", f"{result['p99_itl_ratio']:.2f}"),
        ("prefill alone (tok/s)", f"{result['prefill_solo_tokens_per_s']:,.0f}"),
        ("prefill beside the chats (tok/s)", f"{result['prefill_mixed_tokens_per_s']:,.0f}"),
        ("share of its rate kept", f"{result['prefill_rate_share']:.0%}"),
    ]


def overhead_rows(result: dict[str, Any]) -> Rows:
    """Rows of `overhead.Overhead`."""
    return [
        ("bare engine (ms per token)", f"{result['engine_ms_per_token']:.3f}"),
        ("through the server (ms per token)", f"{result['server_ms_per_token']:.3f}"),
        ("overhead", f"{result['overhead']:.1%}"),
    ]
