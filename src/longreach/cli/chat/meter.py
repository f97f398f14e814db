"""The line under a conversation: how full the context is, what was cached, how fast it went."""

from __future__ import annotations

from longreach.cli.chat.backend import Usage


def meter(usage: Usage | None, max_context: int | None) -> str:
    """For instance "ctx 83k/128k · cached 80k · 412 t/s"; what is not known is left out."""
    used = 0
    parts: list[str] = []
    if usage is not None:
        used = (usage.num_prompt_tokens or 0) + (usage.num_answer_tokens or 0)
        if usage.num_cached_tokens is not None:
            parts.append(f"cached {short_count(usage.num_cached_tokens)}")
        if usage.tokens_per_s is not None:
            parts.append(f"{usage.tokens_per_s:,.0f} t/s")
    limit = "" if max_context is None else f"/{short_count(max_context)}"
    return " · ".join([f"ctx {short_count(used)}{limit}", *parts])


def short_count(tokens: int) -> str:
    """950 -> "950", 131072 -> "128k", 1048576 -> "1M": k is 1024 tokens, M a million."""
    for scale, unit in ((1_000_000, "M"), (1024, "k")):
        if tokens >= scale:
            value = tokens / scale
            return f"{value:.0f}{unit}" if value >= 10 else f"{value:.1f}".removesuffix(".0") + unit
    return str(tokens)
