"""Pinning through requests and by tokens; what is told of a prefix."""

import asyncio
import time
from dataclasses import replace

import pytest

from longreach.engine.protocol import PrefixPin
from longreach.errors import InvalidRequestError
from support.async_engine import ask, build, prompt_ids, request, running


@pytest.fixture
def engine(tiny_qwen2):
    """A pool of 20 pages of 16 tokens."""
    return build(tiny_qwen2, num_kv_tokens=320, max_num_batched_tokens=64, max_num_seqs=2)


def test_a_request_pins_what_it_read(engine):
    """The full pages of `num_tokens` survive prompts that fill the pool, and are found again."""
    pinned = replace(request(100), pins=(PrefixPin(num_tokens=70, ttl_s=60.0, label="book"),))

    async def main(served):
        await ask(served, pinned)
        for seed in (1, 2, 3):
            await ask(served, request(250, seed=seed))
        state = await served.prefix_state(prompt_ids(100)[:70])
        return state, await ask(served, request(100))

    with running(engine) as served:
        state, again = asyncio.run(main(served))
    assert (state.num_tokens, state.num_memory_tokens, state.pinned) == (70, 64, True)
    assert state.num_bytes == 4 * engine.cache.bytes_per_page
    assert 0 < state.pinned_until - time.time() <= 60
    assert again.last.metrics.num_cached_tokens == 64


def test_pin_and_unpin_by_tokens(engine):
    """Pins are of exactly one prefix and one salt; unpinning makes it like all others."""
    ids = prompt_ids(100)

    async def main(served):
        await ask(served, request(100))
        first = await served.pin(ids[:50], label="x")
        other = await served.prefix_state(ids[:50], cache_salt="other")
        longer = await served.prefix_state(ids)
        last = await served.unpin(ids[:50])
        await ask(served, request(300, seed=1))
        return first, other, longer, last, await served.prefix_state(ids)

    with running(engine) as served:
        first, other, longer, last, gone = asyncio.run(main(served))
    assert (first.pinned, first.pinned_until, first.num_memory_tokens) == (True, None, 48)
    assert (other.pinned, other.num_memory_tokens) == (False, 0)
    assert (longer.pinned, longer.num_memory_tokens) == (False, 96)
    assert not last.pinned
    assert gone.num_memory_tokens < 48


def test_nothing_new_is_kept_when_asked(engine):
    """writes_cache=False reads the cache and leaves nothing behind."""

    async def main(served):
        await ask(served, replace(request(100), writes_cache=False))
        fresh = await ask(served, request(100))
        longer = replace(request(100), prompt_token_ids=[*prompt_ids(100), *range(40)])
        reused = await ask(served, replace(longer, writes_cache=False))
        return fresh, reused, await ask(served, longer)

    with running(engine) as served:
        fresh, reused, again = asyncio.run(main(served))
    assert fresh.last.metrics.num_cached_tokens == 0
    assert reused.last.metrics.num_cached_tokens == 100
    assert again.last.metrics.num_cached_tokens == 100


def test_pins_are_checked(engine):
    """A pin longer than its prompt, of no token or without time is refused with its number."""
    with pytest.raises(InvalidRequestError, match="101"):
        engine.add_request(replace(request(100), pins=(PrefixPin(num_tokens=101),)))
    with pytest.raises(InvalidRequestError, match="at least 1"):
        PrefixPin(num_tokens=0)
    with pytest.raises(InvalidRequestError, match="ttl_s"):
        PrefixPin(num_tokens=1, ttl_s=0.0)


def test_a_prefix_shorter_than_a_page_has_nothing_to_pin(engine):
    """Pins are of full pages: fewer tokens pin nothing, and say so."""

    async def main(served):
        return await served.pin([1, 2, 3])

    with running(engine) as served:
        state = asyncio.run(main(served))
    assert (state.pinned, state.num_memory_tokens, state.num_bytes) == (False, 0, 0)
