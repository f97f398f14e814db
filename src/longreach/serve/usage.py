"""What a request took, in the words of OpenAI (`usage`), llama.cpp (`timings`) and our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longreach.engine.outputs import RequestMetrics
from longreach.serve.events import Finished


def usage_of(finished: Sequence[Finished]) -> dict[str, Any]:
    """Tokens of all prompts of a request together."""
    metrics = [each.metrics for each in finished]
    prompt = sum(each.num_prompt_tokens for each in metrics)
    answer = sum(each.num_generated_tokens for each in metrics)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {
            "cached_tokens": sum(each.num_cached_tokens for each in metrics),
            "cache_write_tokens": sum(each.num_cache_written_tokens for each in metrics),
        },
        "completion_tokens_details": {
            "reasoning_tokens": sum(each.reasoning_tokens for each in finished)
        },
    }


def figures_of(finished: Sequence[Finished]) -> dict[str, Any]:
    """`timings` and `longreach` of one prompt; for several, `longreach.prompts` in their order."""
    if len(finished) == 1:
        return {"timings": timings_of(finished[0].metrics), "longreach": _own(finished[0])}
    return {"longreach": {"prompts": [_own(each) for each in finished]}}


def _own(finished: Finished) -> dict[str, Any]:
    sources = {} if finished.sources is None else finished.sources.as_fields()
    return {**attention_of(finished.metrics), **sources}


def timings_of(metrics: RequestMetrics) -> dict[str, Any]:
    """llama.cpp's figures of one prompt: cached, read and predicted tokens, milliseconds, rates.

    Tokens that were guessed, and those that were right, where any were.
    """
    read = metrics.num_prompt_tokens - metrics.num_cached_tokens
    return {
        "cache_n": metrics.num_cached_tokens,
        **_pace("prompt", read, metrics.prefill_s),
        **_pace("predicted", metrics.num_generated_tokens, metrics.decode_s),
        **_drafted(metrics),
    }


def _drafted(metrics: RequestMetrics) -> dict[str, int]:
    if not metrics.num_draft_tokens:
        return {}
    return {
        "draft_n": metrics.num_draft_tokens,
        "draft_n_accepted": metrics.num_accepted_tokens,
    }


def _pace(name: str, count: int, seconds: float | None) -> dict[str, Any]:
    milliseconds = 1000 * (seconds or 0.0)
    return {
        f"{name}_n": count,
        f"{name}_ms": milliseconds,
        f"{name}_per_token_ms": milliseconds / count if count else 0.0,
        f"{name}_per_second": 1000 * count / milliseconds if milliseconds else 0.0,
    }


def attention_of(metrics: RequestMetrics) -> dict[str, Any]:
    """The `longreach` object: attention that was kept, and where the cached prefix was left.

    cache_miss_at and its reason are both null where all that could be cached was; null with a
    reason where nothing like the prompt was known, or nothing was reused.
    """
    return {
        "recall_min": metrics.recall_min,
        "recall_mean": metrics.recall_mean,
        "density": metrics.density,
        "cache_miss_at": metrics.cache_miss_at,
        "cache_miss_reason": metrics.cache_miss_reason,
    }
