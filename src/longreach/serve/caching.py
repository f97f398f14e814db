"""What a request's cache fields ask the engine for: prefixes that stay, and whether to write.

This cache is addressed by content and always on, so a prefix is found again without any of these
fields, for as long as there is room. They say what must stay, and for how long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from longreach.engine.protocol import PrefixPin
from longreach.serve.prompt import Prompt, PromptBreakpoint
from longreach.serve.schema.caching import DEFAULT_TTL, CacheFields, seconds_of

MAX_BREAKPOINTS = 4
"""The latest of them are kept, the implicit one counted."""


@dataclass(frozen=True, kw_only=True)
class CachePlan:
    """pins: prefixes that stay. writes: False where nothing of the prompt is to be kept."""

    pins: tuple[PrefixPin, ...] = ()
    writes: bool = True


NO_PLAN = CachePlan()


def plan_cache(fields: CacheFields, prompt: Prompt) -> CachePlan:
    """The plan of a body for its prompt.

    Implicit (as when nothing is said): the breakpoints stay, and with options or a retention of
    24h the whole prompt. Explicit: the breakpoints alone; without one, nothing is written.
    """
    options = fields.prompt_cache_options
    is_explicit = options is not None and options.mode == "explicit"
    if is_explicit and not prompt.breakpoints:
        return CachePlan(writes=False)
    wanted = [*prompt.breakpoints, *([] if is_explicit else _whole(fields, len(prompt.token_ids)))]
    usual = options.ttl if options is not None and options.ttl is not None else DEFAULT_TTL
    label = fields.prompt_cache_key or ""
    return CachePlan(pins=tuple(_pins(wanted[-MAX_BREAKPOINTS:], usual, label)))


def _whole(fields: CacheFields, num_tokens: int) -> Iterator[PromptBreakpoint]:
    """The implicit breakpoint, for those who say how long."""
    if fields.prompt_cache_retention == "24h":
        yield PromptBreakpoint(num_tokens=num_tokens, ttl="24h")
    elif fields.prompt_cache_options is not None:
        yield PromptBreakpoint(num_tokens=num_tokens)


def _pins(wanted: Sequence[PromptBreakpoint], usual: str, label: str) -> Iterator[PrefixPin]:
    for each in wanted:
        if each.num_tokens:
            ttl_s = seconds_of(each.ttl or usual)
            yield PrefixPin(num_tokens=each.num_tokens, ttl_s=ttl_s, label=label)
