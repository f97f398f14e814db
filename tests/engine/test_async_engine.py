"""The engine behind coroutines: what is asked is answered, what is left is stopped."""

import asyncio
import gc
import threading

import pytest

from longreach.engine.async_engine import AsyncEngine
from longreach.engine.llm import LLM
from longreach.engine.outputs import RequestOutput
from longreach.engine.protocol import AsyncTextEngine, PromptRequest, Submission
from longreach.engine.sampling_params import SamplingParams
from longreach.engine.waiting_room import QueueLimits
from longreach.errors import (
    ContextLengthError,
    EngineBusyError,
    EngineClosedError,
    InvalidRequestError,
    MemoryPlanError,
)
from support.async_engine import ask, build, collect, prompt_ids, request, running


@pytest.fixture
def engine(tiny_qwen2):
    return build(tiny_qwen2, max_num_batched_tokens=64, max_num_seqs=4)


def alone(folder, one):
    """What the bare engine answers."""
    engine = build(folder, max_num_batched_tokens=64, max_num_seqs=4)
    engine.add_request(one, stream=False)
    while True:
        for output in engine.step():
            return [answer.token_ids for answer in output.outputs]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # another thread makes it true
            await asyncio.sleep(0.001)


def test_it_is_what_the_server_asks_for(engine):
    """AsyncEngine and its submissions have every member of the two protocols."""

    async def main(served):
        submission = await served.submit(request())
        assert isinstance(submission, Submission)
        assert submission.num_prompt_tokens == 40
        await collect(submission)

    with running(engine) as served:
        assert isinstance(served, AsyncTextEngine)
        assert (served.max_model_len, served.vocab_size) == (1024, 320)
        asyncio.run(main(served))
        assert served.tokenizer.vocab_size == 320


def test_many_at_once_answer_as_alone(engine, tiny_qwen2):
    """Twelve requests together, n > 1 among them, say what each says alone."""
    wanted = [
        PromptRequest(
            prompt_token_ids=prompt_ids(10 + 23 * at, at),
            params=SamplingParams(n=2, seed=at, max_tokens=6, ignore_eos=True),
        )
        for at in range(12)
    ]

    async def main(served):
        return await asyncio.gather(*(ask(served, one) for one in wanted))

    with running(engine) as served:
        results = asyncio.run(main(served))
    for one, told in zip(wanted, results, strict=True):
        assert [tuple(told.token_ids(index)) for index in (0, 1)] == alone(tiny_qwen2, one)


def test_progress_begins_with_what_was_cached_and_ends_with_everything(engine):
    """First processed == cached, then never backwards, at last processed == total, then text."""

    async def main(served):
        first = await ask(served, request(500))
        again = await ask(served, request(500))
        short = await ask(served, request(1, max_tokens=1))
        return first, again, short

    with running(engine) as served:
        results = asyncio.run(main(served))
    for told, cached, total in zip(results, (0, 499, 0), (500, 500, 1), strict=True):
        processed = [progress.processed for progress in told.progress]
        assert (processed[0], processed[-1]) == (cached, total)
        assert processed == sorted(processed)
        assert {(p.cached, p.total) for p in told.progress} == {(cached, total)}
        assert told.progress[-1].eta_s == 0.0
        assert told.finish_reason == "length"


def test_progress_comes_while_a_prompt_is_read(engine, monkeypatch):
    """Between first and last, progress says how far the layers are and when they will be done."""
    monkeypatch.setattr("longreach.engine.courier.PROGRESS_S", 0.0)

    with running(engine) as served:
        told = asyncio.run(ask(served, request(900)))
    between = told.progress[1:-1]
    assert between
    assert all(0 < p.processed < 900 and p.eta_s > 0 for p in between)


def test_leaving_the_iteration_stops_the_request(engine):
    """Break, cancel, or forget a submission: it is aborted; what was read stays cached."""

    async def leave(served):
        async for item in await served.submit(request(600, max_tokens=400)):
            if isinstance(item, RequestOutput):
                break

    async def cancel(served):
        task = asyncio.create_task(ask(served, request(600, seed=1, max_tokens=400)))
        await until(lambda: served.status.num_running)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def forget(served):
        await served.submit(request(600, seed=2, max_tokens=400))

    async def main(served):
        for way in (leave, cancel, forget):
            await way(served)
            gc.collect()
            await until(lambda: not served.status.num_running and not served.status.num_waiting)
            assert served.status.kv_usage == 0
        return await ask(served, request(600, max_tokens=1))

    with running(engine) as served:
        told = asyncio.run(main(served))
    assert told.progress[0].cached == 599


def test_abort_ends_with_an_output(engine):
    """A consumer that goes on iterating after abort() gets the end; aborting again is harmless."""

    async def main(served):
        submission = await served.submit(request(100, max_tokens=800))
        items = aiter(submission)
        await anext(items)
        submission.abort()
        told = await collect(submission)
        submission.abort()
        assert (await ask(served, request(request_id=submission.request_id))).finish_reason
        assert [item async for item in submission] == []
        return told

    with running(engine) as served:
        assert asyncio.run(main(served)).finish_reason == "abort"


def test_a_slow_consumer_finds_joined_pieces(engine):
    """Whoever does not look while an answer is written gets it in a few pieces, nothing lost."""

    async def main(served):
        submission = await served.submit(request(50, max_tokens=200, logprobs=0))
        await until(lambda: not served._parts.courier.num_open)
        return await collect(submission)

    with running(engine) as served:
        told = asyncio.run(main(served))
    assert len(told.outputs) == 1
    assert len(told.token_ids()) == len(told.last.outputs[0].logprobs) == 200
    assert [p.processed for p in told.progress] == [0, 50]


def test_refusals_come_before_anything_is_queued(engine):
    """Too long, never fitting, malformed, an id in use: raised by submit, nothing left behind."""
    small = build(engine.folder, num_kv_tokens=64)

    async def main(served, tight):
        with pytest.raises(ContextLengthError):
            await served.submit(request(2000))
        with pytest.raises(InvalidRequestError):
            await served.submit(request(stop_token_ids=[5000]))
        with pytest.raises(MemoryPlanError):
            await tight.submit(request(100))
        first = await served.submit(request(300, max_tokens=300, request_id="a"))
        with pytest.raises(InvalidRequestError, match="in use"):
            await served.submit(request(request_id="a"))
        assert (await collect(first)).finish_reason == "length"
        assert served.status.num_waiting == tight.status.num_waiting == 0

    with running(engine) as served, running(small) as tight:
        asyncio.run(main(served, tight))


@pytest.mark.parametrize(
    "limits", [QueueLimits(max_num_queued_reqs=2), QueueLimits(max_num_queued_tokens=100)]
)
def test_a_full_queue_refuses(engine, limits):
    """Beyond its seats and its queue an engine says EngineBusyError with a time, and recovers."""

    async def main(served):
        seated = [await served.submit(request(20, seed=at, max_tokens=500)) for at in range(4)]
        await until(lambda: served.status.num_running == 4)
        waiting = [await served.submit(request(50, seed=9 + at)) for at in range(2)]
        with pytest.raises(EngineBusyError) as caught:
            await served.submit(request(50, seed=20))
        assert 1 <= caught.value.retry_after_s <= 60
        for submission in seated:
            submission.abort()
        for submission in waiting:
            assert (await collect(submission)).finish_reason == "length"
        assert (await ask(served, request(50, seed=20))).finish_reason == "length"

    with running(engine, limits=limits) as served:
        asyncio.run(main(served))


def test_vectors(engine):
    """embed gives one vector of norm 1 per prompt, more prompts than seats, in order."""

    async def main(served):
        vectors = await served.embed([prompt_ids(30, seed) for seed in range(9)])
        again = await served.embed([prompt_ids(30, 7)])
        with pytest.raises(ContextLengthError):
            await served.embed([prompt_ids(30), prompt_ids(3000)])
        with pytest.raises(InvalidRequestError):
            await served.embed([prompt_ids(30)], pooling="max")
        await until(lambda: not served.status.num_running)
        return vectors, again

    with running(engine) as served:
        vectors, again = asyncio.run(main(served))
    assert len(vectors) == 9
    assert sum(x * x for x in vectors[0]) == pytest.approx(1.0)
    assert again[0] == pytest.approx(vectors[7], abs=1e-5)
    assert engine.cache.stats().num_owned == engine.cache.stats().num_cached == 0


def test_estimates_know_what_is_cached(engine):
    """The cached part counts, of one salt only; the machine is measured once."""

    async def main(served):
        new = await served.estimate(prompt_ids(500), max_tokens=10)
        rates = served._parts.estimator.rates()
        await ask(served, request(500, salt="a"))
        cached = await served.estimate(prompt_ids(500), max_tokens=10, cache_salt="a")
        other = await served.estimate(prompt_ids(500), max_tokens=10)
        long = await served.estimate(prompt_ids(1020), max_tokens=10)
        assert served._parts.estimator.rates() is rates
        return new, cached, other, long

    with running(engine) as served:
        new, cached, other, long = asyncio.run(main(served))
    assert (new.num_cached_tokens, cached.num_cached_tokens, other.num_cached_tokens) == (0, 499, 0)
    assert 0 < cached.seconds < new.seconds
    assert (new.fits, long.fits, long.num_tokens) == (True, False, 1020)
    assert new.peak_bytes > 0


def test_a_reset_is_of_one_salt(engine):
    """reset_prefix_cache forgets one tenant's pages, or all, and says how many."""

    async def main(served):
        for salt in ("a", "b"):
            await ask(served, request(100, salt=salt, max_tokens=1))
        assert await served.reset_prefix_cache(cache_salt="a") == 7
        assert (await ask(served, request(100, salt="a"))).progress[0].cached == 0
        assert (await ask(served, request(100, salt="b"))).progress[0].cached == 99
        assert await served.reset_prefix_cache() == 14
        assert served.status.num_cached_pages == 0

    with running(engine) as served:
        asyncio.run(main(served))


def test_status_counts(engine):
    """Seats, pages, and prompt tokens looked up and found."""

    async def main(served):
        for _ in range(2):
            await ask(served, request(100))

    with running(engine) as served:
        asyncio.run(main(served))
        status = served.status
    assert (status.num_running, status.num_waiting, status.kv_usage) == (0, 0, 0.0)
    assert (status.prefix_queries, status.prefix_hits) == (200, 99)
    assert (status.page_size, status.num_kv_pages) == (16, engine.cache.num_pages)
    assert status.error is None
    assert served.status == status


def test_drain(engine):
    """Draining refuses what is new, lets what runs end, and after its time aborts it."""

    async def main(served):
        task = asyncio.create_task(ask(served, request(50, max_tokens=30)))
        await until(lambda: served.status.num_running)
        await served.drain()
        assert (await task).finish_reason == "length"
        with pytest.raises(EngineClosedError):
            await served.submit(request())
        with pytest.raises(EngineClosedError):
            await served.embed([[1]])

    async def impatient(served):
        task = asyncio.create_task(ask(served, request(50, max_tokens=900)))
        await until(lambda: served.status.num_running)
        await served.drain(0.0)
        assert (await task).finish_reason == "abort"

    with running(engine) as served:
        asyncio.run(main(served))
    with running(build(engine.folder)) as served:
        asyncio.run(impatient(served))


def test_close_ends_what_runs(engine):
    """close() stops the loop between two layers; every request gets its error, nobody hangs."""

    async def main(served):
        submissions = [await served.submit(request(900, seed=at)) for at in range(6)]
        await until(lambda: served.status.num_running)
        await asyncio.to_thread(served.close)
        for told in await asyncio.gather(*map(collect, submissions)):
            assert isinstance(told.last.error, EngineClosedError)
        with pytest.raises(EngineClosedError):
            await served.submit(request())
        await served.drain()

    with running(engine) as served:
        asyncio.run(main(served))
        served.close()
    assert "longreach-engine" not in {thread.name for thread in threading.enumerate()}


def test_a_loop_that_fails_says_so(engine, monkeypatch):
    """When the loop itself breaks, every request fails with the error and status keeps it."""

    def broken():
        raise RuntimeError("a bug")

    async def main(served):
        submission = await served.submit(request(300, max_tokens=300))
        await until(lambda: served.status.num_running)
        monkeypatch.setattr(engine.scheduler, "schedule", broken)
        told = await collect(submission)
        assert str(told.last.error) == "a bug"
        assert served.status.error == "RuntimeError: a bug"
        with pytest.raises(EngineClosedError, match="a bug"):
            await served.submit(request())
        with pytest.raises(EngineClosedError):
            await served.reset_prefix_cache()

    with running(engine) as served:
        asyncio.run(main(served))


def test_an_event_loop_that_is_gone_leaves_nothing_running(engine):
    """Requests of an event loop that was closed are aborted; the next loop is served."""

    async def start(served):
        return await served.submit(request(50, max_tokens=900))

    async def main(served):
        await until(lambda: not served.status.num_running)
        return await ask(served, request(60))

    with running(engine) as served:
        submission = asyncio.run(start(served))
        assert asyncio.run(main(served)).finish_reason == "length"
        submission.abort()


def test_an_idle_engine_sleeps(engine, monkeypatch):
    """Without work no step is run."""
    steps = []
    step = engine.step
    monkeypatch.setattr(engine, "step", lambda **options: steps.append(1) or step(**options))

    async def main(served):
        await ask(served, request(10, max_tokens=3))
        count = len(steps)
        await asyncio.sleep(0.2)
        return count

    with running(engine) as served:
        count = asyncio.run(main(served))
    assert 3 <= count <= len(steps) <= count + 1


def test_built_from_an_llm(tiny_qwen2):
    """One line makes an AsyncEngine of an LLM, with its chat template."""
    with LLM(tiny_qwen2, dtype="float32", max_model_len=256) as llm:
        served = AsyncEngine.from_llm(llm)
        ids = served.chat_template.encode([{"role": "user", "content": "Hi"}])
        params = SamplingParams(max_tokens=3, ignore_eos=True)
        told = asyncio.run(ask(served, PromptRequest(prompt_token_ids=ids, params=params)))
        served.close()
    assert len(told.token_ids()) == 3
