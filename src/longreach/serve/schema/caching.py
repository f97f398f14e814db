"""How long what was read stays: OpenAI's and Anthropic's fields for prompt caches."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from longreach.serve.schema.base import Body

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9]\d{0,8})([smhd])")
MAX_TTL_S = 30 * 86400
DEFAULT_TTL = "30m"
MAX_KEY = 512


def seconds_of(duration: str) -> float:
    """Seconds of "90s", "30m", "12h" or "7d". Raises ValueError, also for more than 30 days."""
    match = _DURATION.fullmatch(duration)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= MAX_TTL_S:
        raise ValueError("expected a time such as 5m, 12h or 7d, of at most 30d")
    return float(seconds)


def _checked(duration: str) -> str:
    seconds_of(duration)
    return duration


Duration = Annotated[
    str, AfterValidator(_checked), Field(json_schema_extra={"pattern": "^[1-9][0-9]*[smhd]$"})
]


class Breakpoint(Body):
    """The end of a prefix that is worth keeping, on a content part. ttl: None, the request's."""

    mode: Literal["explicit"] = "explicit"
    ttl: Duration | None = None

    @property
    def ttl_s(self) -> float:
        """Its own time in seconds."""
        return seconds_of(self.ttl or DEFAULT_TTL)


class CacheOptions(Body):
    """mode: implicit keeps the whole prompt; explicit only what breakpoints mark. ttl: how long."""

    mode: Literal["implicit", "explicit"] = "implicit"
    ttl: Duration | None = None


class CacheFields(Body):
    """What a request says about the cache. prompt_cache_key: a label for what is kept."""

    prompt_cache_key: Annotated[str, Field(max_length=MAX_KEY)] | None = None
    prompt_cache_options: CacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None


class CacheControl(Body):
    """Anthropic's breakpoint, on a block, a tool, or (at the top) the last block."""

    type: Literal["ephemeral"]
    ttl: Duration | None = None
