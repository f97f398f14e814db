"""Lengths as people write them: 128K is 131072 tokens, 1M is 1,000,000."""

from __future__ import annotations

import re

from longreach.errors import InvalidRequestError

_UNITS = {"": 1, "k": 1024, "m": 1_000_000}


def parse_length(text: str, field: str = "tokens") -> int:
    """Tokens of "4096", "128K" or "1M" (also "1.5M"). Raises InvalidRequestError naming `field`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", text.strip().replace("_", ""))
    tokens = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if tokens < 1:
        raise InvalidRequestError(field, text, "a length such as 4096, 128K or 1M")
    return tokens


def parse_lengths(text: str, field: str = "lengths") -> tuple[int, ...]:
    """Several lengths, separated by commas, shortest first and each once."""
    return tuple(sorted({parse_length(part, field) for part in text.split(",")}))


def show_length(tokens: int) -> str:
    """The shortest exact spelling: 131072 -> "128K", 1000000 -> "1M", 5000 -> "5000"."""
    if tokens >= _UNITS["m"] and tokens % 100_000 == 0:
        return f"{tokens / _UNITS['m']:g}M"
    if tokens % _UNITS["k"] == 0:
        return f"{tokens // _UNITS['k']}K"
    return str(tokens)
