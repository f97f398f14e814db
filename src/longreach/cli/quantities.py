"""Sizes and times as people write them: 20GiB, 7d."""

from __future__ import annotations

import re

from longreach.errors import InvalidRequestError

_BYTES = {
    "": 1,
    "b": 1,
    "k": 2**10,
    "kib": 2**10,
    "kb": 10**3,
    "m": 2**20,
    "mib": 2**20,
    "mb": 10**6,
    "g": 2**30,
    "gib": 2**30,
    "gb": 10**9,
    "t": 2**40,
    "tib": 2**40,
    "tb": 10**12,
}
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
NEVER = "never"


def parse_bytes(text: str, field: str) -> int:
    """Bytes of "20GiB", "500 MB" or "4096". Raises InvalidRequestError naming `field`."""
    size = int(_quantity(text, _BYTES))
    if size < 1:
        raise InvalidRequestError(field, text, "a size such as 20GiB, 500MB or 4096 (bytes)")
    return size


def parse_seconds(text: str, field: str) -> float | None:
    """Seconds of "7d", "30m", "12 h" or "90"; None of "never". Raises InvalidRequestError."""
    if text.strip().lower() == NEVER:
        return None
    seconds = _quantity(text, _SECONDS)
    if seconds <= 0:
        raise InvalidRequestError(field, text, "a time such as 7d, 12h, 30m or 90 (s), or never")
    return seconds


def _quantity(text: str, units: dict[str, int]) -> float:
    """0 for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower().replace("_", ""))
    return float(match[1]) * units.get(match[2], 0) if match else 0.0
