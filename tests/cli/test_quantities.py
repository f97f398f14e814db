"""Sizes and times as people write them."""

import pytest

from longreach.cli.quantities import parse_bytes, parse_seconds
from longreach.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GiB", 20 * 2**30), ("500 MB", 500_000_000), ("4096", 4096), ("1.5g", 3 * 2**29)],
)
def test_sizes(text, size):
    """Binary and decimal units, spaces and capitals as they come."""
    assert parse_bytes(text, "cache_size") == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604_800), ("12 h", 43_200), ("30m", 1800), ("90", 90)]
)
def test_times(text, seconds):
    """A number alone is seconds; never has no end."""
    assert parse_seconds(text, "cache_ttl") == seconds
    assert parse_seconds("never", "cache_ttl") is None


@pytest.mark.parametrize("text", ["", "0", "GiB", "-3", "7 parsecs", "1e9"])
def test_other_texts_are_refused(text):
    """The error names the field and shows what is meant."""
    with pytest.raises(InvalidRequestError, match=r"cache_size.*20GiB"):
        parse_bytes(text, "cache_size")
    with pytest.raises(InvalidRequestError, match=r"cache_ttl.*7d"):
        parse_seconds(text, "cache_ttl")
