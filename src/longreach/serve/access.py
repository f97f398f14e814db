"""One line in the log per request: who asked for what, what it took, never what it said."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from longreach.serve.errors import clip

access = logging.getLogger("longreach.serve.access")


@dataclass
class RequestUsage:
    """What the prompts of one HTTP request took in the engine, as far as they have come."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    ttft_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class AccessLine:
    """One request. route: the pattern of its path, None where there is none.

    status: 499 for a client that left. usage: of the engine.
    """

    request_id: str
    method: str
    path: str
    route: str | None
    status: int
    ms: float
    usage: RequestUsage = field(default_factory=RequestUsage)

    def log(self) -> None:
        """Write it: as text, and as fields for those who write JSON."""
        text = f"{self.method} {self.safe_path} {self.status} {self.ms:.1f} ms"
        access.info("%s%s %s", text, self._usage_text(), self.request_id, extra=self._extra())

    @property
    def safe_path(self) -> str:
        """The path without anything that could end a line."""
        return clip(quote(self.path, safe="/:@!$&'()*+,;=~"))

    def _usage_text(self) -> str:
        used = self.usage
        if not used.prompt_tokens:
            return ""
        counts = (used.prompt_tokens, used.cached_tokens, used.generated_tokens)
        text = " prompt={} cached={} generated={}".format(*counts)
        return text if used.ttft_s is None else f"{text} ttft={used.ttft_s:.3f} s"

    def _extra(self) -> dict[str, Any]:
        fields = {
            "request_id": self.request_id,
            "method": self.method,
            "path": self.safe_path,
            "route": self.route,
            "status": self.status,
            "ms": round(self.ms, 1),
        }
        return {"fields": fields | asdict(self.usage)}


_usage: ContextVar[RequestUsage] = ContextVar("longreach_request_usage")


def begin_usage() -> RequestUsage:
    """What this request takes from now on, in this task and in those that it starts."""
    usage = RequestUsage()
    _usage.set(usage)
    return usage


def current_usage() -> RequestUsage:
    """Of the request in work; of nobody's, outside of one."""
    return _usage.get(None) or RequestUsage()
