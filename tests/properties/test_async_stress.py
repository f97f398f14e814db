"""Many mixed requests, some left at any moment: nothing leaks, and the others are answered."""

import asyncio
import gc
import random

from longreach.engine.outputs import RequestOutput
from longreach.engine.protocol import PromptRequest
from longreach.engine.sampling_params import SamplingParams
from longreach.engine.structured import StructuredOutputs
from support.async_engine import build, prompt_ids, running

NUM_REQUESTS = 300
TOKENS = {"short": (1, 60), "long": (200, 600)}
FORMS = [StructuredOutputs(regex="[a-z]{3,9}"), StructuredOutputs(choice=["yes", "no"])]


def mixed(draw, at):
    """Short and long prompts, shared prefixes, several answers, forms, tenants."""
    shared = prompt_ids(draw.choice([0, 0, 64, 200]), seed=draw.randrange(3))
    own = prompt_ids(draw.randint(*TOKENS[draw.choice(["short", "short", "long"])]), seed=at)
    params = SamplingParams(
        n=draw.choice([1, 1, 1, 3]),
        max_tokens=draw.randint(1, 25),
        temperature=1.0,
        seed=at,
        ignore_eos=draw.random() < 0.5,
        logprobs=draw.choice([None, None, 2]),
        prompt_logprobs=draw.choice([None, None, None, 0]),
        structured_outputs=draw.choice([None, None, *FORMS]),
    )
    return PromptRequest(
        prompt_token_ids=shared + own, params=params, cache_salt=draw.choice(["", "a", "b"])
    )


async def one(served, request, patience):
    """How it was answered ("stop", "length"), or "left" after so many items."""
    submission = await served.submit(request)
    seen = 0
    async for item in submission:
        seen += 1
        if isinstance(item, RequestOutput) and item.finished:
            assert item.error is None
            return item.outputs[-1].finish_reason
        if seen == patience:
            submission.abort() if patience % 2 else None
            return "left"
    raise AssertionError("no last output")


async def storm(served):
    draw = random.Random(0)
    tasks = []
    for at in range(NUM_REQUESTS):
        patience = draw.randint(1, 6) if draw.random() < 0.3 else None
        tasks.append(asyncio.create_task(one(served, mixed(draw, at), patience)))
        if draw.random() < 0.1:
            tasks.append(asyncio.create_task(served.embed([prompt_ids(30, at)])))
        if draw.random() < 0.05:
            tasks[draw.randrange(len(tasks))].cancel()
        if draw.random() < 0.05:
            await served.reset_prefix_cache(cache_salt=draw.choice(["", "a", None]))
        if at % 20 == 0:
            await asyncio.sleep(0.05)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    gc.collect()
    async with asyncio.timeout(60):
        await served.drain()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return results


def test_nothing_leaks(tiny_qwen2):
    """After 300 requests in a small pool no page is owned, no task, queue or seat is left."""
    engine = build(tiny_qwen2, num_kv_tokens=1600, max_num_seqs=8, max_num_batched_tokens=128)
    with running(engine) as served:
        results = asyncio.run(storm(served))
        parts, room = served._parts, served._room
        assert (parts.courier.num_open, len(parts.courier._unread), len(room)) == (0, 0, 0)
        assert (served.status.num_running, served.status.num_waiting) == (0, 0)
        assert engine.cache.stats().num_owned == 0
        assert not engine.request_ids
        assert not engine._groups
        assert not engine._answers
    broken = [r for r in results if isinstance(r, Exception)]
    assert not broken
    answered = sum(result in ("stop", "length") for result in results)
    assert answered > NUM_REQUESTS / 2
    assert results.count("left") > NUM_REQUESTS / 10
