"""Everything that can be set of the server itself; what the engine does is in `EngineConfig`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from longreach.errors import InvalidRequestError

MIB = 2**20
LogFormat = Literal["text", "json"]
LOG_FORMATS = get_args(LogFormat)
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of one server. Raises InvalidRequestError for values that cannot be obeyed.

    served_model_names: names that requests may use; the first is the one that answers carry.
    uds: a unix socket instead of host and port. port: 0 takes a free one.
    api_keys: any of them opens the guarded routes; none: all are open. secret: what the keys'
    cache salts are made with (new for each process unless given).
    sse_keep_alive_interval: seconds of silence after which a stream gets a ping; 0: never.
    shutdown_timeout: seconds that running requests may take to end after the first SIGTERM.
    timeout_keep_alive: seconds that an idle connection stays open.
    max_body_bytes: of a JSON body. max_num_seqs: requests that run at the same time (for /slots).
    max_file_bytes: of an uploaded file. max_batch_concurrency: requests of batches in work at once.
    max_prefill_tokens_per_minute: prompt tokens that each key may have read; None: no limit.
    metrics_prefix: of the names at /metrics. log_format: text, or json (one object a line).
    sampling_defaults: of requests that do not say, as the checkpoint's generation_config has them.
    state_dir: where stored responses, files and batches lie; None: as long as the server lives.
    stored_ttl: for how many seconds responses are kept.
    """

    served_model_names: tuple[str, ...] = ("needle",)
    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    root_path: str = ""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    ssl_keyfile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_ca_certs: Path | None = None
    allowed_origins: tuple[str, ...] = ()
    sse_keep_alive_interval: float = 15.0
    shutdown_timeout: float = 60.0
    timeout_keep_alive: int = 75
    max_body_bytes: int = 64 * MIB
    max_num_seqs: int = 16
    max_file_bytes: int = 512 * MIB
    max_batch_concurrency: int = 8
    max_prefill_tokens_per_minute: int | None = None
    metrics_prefix: str = "longreach_"
    log_format: LogFormat = "text"
    uvicorn_log_level: str = "info"
    disable_access_log_for_endpoints: tuple[str, ...] = ()
    default_chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    sampling_defaults: Mapping[str, float] = field(default_factory=dict)
    state_dir: Path | None = None
    stored_ttl: float = 30 * 24 * 3600.0

    def __post_init__(self) -> None:
        named = bool(self.served_model_names) and all(self.served_model_names)
        self._require(named, "served_model_names", "at least one name, none empty")
        origins = all(map(_is_origin, self.allowed_origins))
        self._require(origins, "allowed_origins", "origins such as https://example.org, or *")
        self._require(0 <= self.port < 2**16, "port", "a number in [0, 65535]")
        for name in ("sse_keep_alive_interval", "shutdown_timeout", "timeout_keep_alive"):
            self._require(getattr(self, name) >= 0, name, "seconds, at least 0")
        for name in ("max_body_bytes", "max_num_seqs", "max_file_bytes", "max_batch_concurrency"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        limit = self.max_prefill_tokens_per_minute
        self._require(limit is None or limit >= 1, "max_prefill_tokens_per_minute", "at least 1")
        is_name = re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", self.metrics_prefix) is not None
        self._require(is_name, "metrics_prefix", "letters, digits, _ and :, not first a digit")
        self._require(self.log_format in LOG_FORMATS, "log_format", "text or json")
        is_level = self.uvicorn_log_level in LOG_LEVELS
        self._require(is_level, "uvicorn_log_level", f"one of {', '.join(LOG_LEVELS)}")
        self._require(self.stored_ttl > 0, "stored_ttl", "seconds, more than 0")
        self._require(all(self.api_keys), "api_keys", "keys that are not empty")
        has_key, has_certificate = self.ssl_keyfile is not None, self.ssl_certfile is not None
        self._require(has_key or not has_certificate, "ssl_keyfile", "the key of the certificate")
        self._require(has_certificate or not has_key, "ssl_certfile", "the certificate of the key")

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise InvalidRequestError(name, getattr(self, name), expected)

    @property
    def model_name(self) -> str:
        """The name that answers carry."""
        return self.served_model_names[0]


def _is_origin(text: str) -> bool:
    """Whether a browser may send this as Origin: a scheme and a host, no path."""
    return text in ("*", "null") or re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", text) is not None
