"""A request's own arithmetic."""

import pytest

from longreach.cache import KVCache
from longreach.engine.request import Request, RequestState


def make_request(prompt, max_tokens=4):
    request = Request(request_id="r", prompt_token_ids=prompt, max_tokens=max_tokens)
    request.table = KVCache(8, 4).open_table(prompt)
    return request


def test_fresh_request():
    """A new request waits, has computed nothing and reused nothing."""
    request = make_request([1, 2, 3])
    assert request.state is RequestState.WAITING
    assert not request.is_finished
    assert (request.num_prompt_tokens, request.num_tokens) == (3, 3)
    assert (request.num_remaining_tokens, request.num_cached_tokens) == (3, 0)
    assert request.pages == []


@pytest.mark.parametrize(
    ("start", "end", "want"),
    [(0, 5, [1, 2, 3, 8, 9]), (1, 3, [2, 3]), (2, 4, [3, 8]), (3, 5, [8, 9]), (4, 5, [9])],
)
def test_token_ids_cross_into_the_output(start, end, want):
    """Tokens are numbered through prompt and output."""
    request = make_request([1, 2, 3])
    request.append_output(8)
    request.append_output(9)
    assert request.token_ids(start, end) == want
    assert request.num_tokens == 5


def test_output_names_pages():
    """Sampled tokens go into the chain: an answer can be a prefix too."""
    request = make_request([1, 2, 3])
    request.append_output(4)
    assert request.table.chain.digests == KVCache(8, 4).open_table([1, 2, 3, 4]).chain.digests


def test_the_last_token_needs_no_slot():
    """The last sampled token is never fed back."""
    assert make_request([1, 2, 3], max_tokens=1).max_computed_tokens == 3
    assert make_request([1, 2, 3], max_tokens=5).max_computed_tokens == 7
