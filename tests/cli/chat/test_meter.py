import pytest

from longreach.cli.chat.backend import Usage
from longreach.cli.chat.meter import meter, short_count


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (0, "0"),
        (950, "950"),
        (1024, "1k"),
        (1536, "1.5k"),
        (85_000, "83k"),
        (131_072, "128k"),
        (1_000_000, "1M"),
        (1_048_576, "1M"),
        (1_500_000, "1.5M"),
    ],
)
def test_counts_are_short(tokens, text):
    """k is 1024 tokens and M a million, with one digit where it says something."""
    assert short_count(tokens) == text


@pytest.mark.parametrize(
    ("usage", "limit", "text"),
    [
        (None, 131_072, "ctx 0/128k"),
        (
            Usage(
                num_prompt_tokens=84_000,
                num_answer_tokens=1000,
                num_cached_tokens=81_920,
                tokens_per_s=412.3,
            ),
            131_072,
            "ctx 83k/128k · cached 80k · 412 t/s",
        ),
        (Usage(num_prompt_tokens=500), None, "ctx 500"),
    ],
)
def test_the_meter_says_what_is_known(usage, limit, text):
    """Context used of how much, what came from the cache, and the rate of the answer."""
    assert meter(usage, limit) == text
