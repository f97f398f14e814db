import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.errors import InvalidRequestError
from longreach.evals.lengths import parse_length, parse_lengths, show_length


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("4096", 4096), ("128K", 131_072), ("1M", 1_000_000), ("1.5m", 1_500_000), ("2_000", 2000)],
)
def test_lengths_are_read_as_people_write_them(text, tokens):
    """K is 1024, M is a million."""
    assert parse_length(text) == tokens


@given(st.integers(min_value=1, max_value=10**7))
def test_a_shown_length_reads_back(tokens):
    """Showing and parsing are inverse."""
    assert parse_length(show_length(tokens)) == tokens


@pytest.mark.parametrize("text", ["", "0", "-4K", "1G", "K", "four"])
def test_what_is_no_length_is_named(text):
    """The error names the option and what was given."""
    with pytest.raises(InvalidRequestError, match=r"lengths is .*expected a length such as"):
        parse_lengths(text, "lengths")


def test_several_lengths_come_sorted_and_once():
    """Order and repetition in the option do not matter."""
    assert parse_lengths("1M,4K,128K,4096") == (4096, 131_072, 1_000_000)
