"""Where a prompt left what was cached, and why."""

from dataclasses import replace

import pytest

from longreach.cache import DENSE, KVCache, Provenance
from longreach.engine.cache_miss import PromptMemory
from longreach.engine.protocol import PromptRequest
from longreach.engine.request import Request
from longreach.engine.sampling_params import SamplingParams
from longreach.engine.scheduler import Scheduler
from support.async_engine import build, prompt_ids
from support.fake_runner import FakeRunner, run_all, step

TEXT = prompt_ids(400)
OTHER = prompt_ids(400, seed=1)


@pytest.fixture
def engine(tiny_qwen2):
    return build(tiny_qwen2, max_num_batched_tokens=64, lone_slice_tokens=64)


def ask(engine, ids, *, salt="", steps=None, **params):
    """Metrics of a request, stopped after so many steps."""
    sampling = {"max_tokens": 4, "temperature": 0.0, "ignore_eos": True} | params
    request = PromptRequest(
        prompt_token_ids=ids, params=SamplingParams(**sampling), cache_salt=salt
    )
    request_id = engine.add_request(request, stream=False)
    taken = 0
    while True:
        if taken == steps:
            engine.abort(request_id)
        taken += 1
        for output in engine.step():
            return output.metrics


def miss(engine, ids, **options):
    metrics = ask(engine, ids, **options)
    return metrics.cache_miss_at, metrics.cache_miss_reason


def test_nothing_to_compare_with(engine):
    """The first prompt, and the first of another salt, are new: no tenant learns of another's."""
    assert miss(engine, TEXT) == (None, "new prompt")
    assert miss(engine, TEXT, salt="b") == (None, "new prompt")
    assert miss(engine, OTHER) == (None, "new prompt")


def test_all_that_can_be_cached_was(engine):
    """A prompt again, a part of it, or one that goes on where it ended, has missed nothing."""
    ask(engine, TEXT)
    for ids in (TEXT, TEXT[:100], TEXT + OTHER[:50]):
        assert miss(engine, ids) == (None, None)


def test_an_answer_is_part_of_what_was_seen(engine):
    """A conversation that goes on with the answer as it was misses nothing; a changed one does."""
    engine.add_request(
        PromptRequest(
            prompt_token_ids=TEXT,
            params=SamplingParams(max_tokens=40, temperature=0.0, ignore_eos=True),
        ),
        stream=False,
    )
    outputs = [output for _ in range(60) for output in engine.step()]
    answer = list(outputs[0].outputs[0].token_ids)
    assert miss(engine, [*TEXT, *answer, 1, 2, 3]) == (None, None)
    changed = [*TEXT, *answer[:20], (answer[20] + 1) % 300, *answer[21:]]
    assert miss(engine, changed) == (420, "tokens differ")


@pytest.mark.parametrize("at", [1, 15, 16, 17, 200, 399])
def test_the_first_other_token_is_named(engine, at):
    """The index is exact, within a page too."""
    ask(engine, TEXT)
    changed = [*TEXT[:at], (TEXT[at] + 1) % 300, *TEXT[at + 1 :], 5, 6]
    assert miss(engine, changed) == (at, "tokens differ")


def test_pages_that_went_are_told_from_pages_that_never_came(engine):
    """After a reset the prefix was evicted; after an abort it was not read so far."""
    ask(engine, TEXT)
    engine.cache.forget_unused()
    assert miss(engine, TEXT) == (0, "evicted")
    ask(engine, OTHER, steps=2)
    at, reason = miss(engine, OTHER)
    assert reason == "not read"
    assert at == 128


def test_sparser_pages_are_there_but_do_not_serve():
    """A request that must be dense names the sparse pages that it could not use."""
    cache = KVCache(32, 16)
    scheduler = Scheduler(cache, max_num_batched_tokens=64, lone_slice_tokens=64, max_num_seqs=2)
    memory, runner = PromptMemory(cache=cache), FakeRunner(cache)

    def explain(name, wanted):
        request = Request(request_id=name, prompt_token_ids=TEXT[:100], max_tokens=1, wanted=wanted)
        scheduler.add(request)
        step(scheduler, runner)
        miss = memory.begin(request)
        run_all(scheduler, runner)
        memory.end(request)
        return miss

    sparse = Provenance(mode="adaptive", target=0.9)
    assert explain("a", sparse) == (None, "new prompt")
    assert explain("b", DENSE) == (0, "denser pages wanted")
    assert explain("c", DENSE) == (None, None)


def test_who_reuses_nothing_says_so(engine, tiny_qwen2):
    """prompt_logprobs computes every row; without prefix caching everybody does."""
    ask(engine, TEXT)
    assert miss(engine, TEXT, prompt_logprobs=0) == (None, "not reused")
    off = build(tiny_qwen2, enable_prefix_caching=False)
    assert miss(off, TEXT) == (None, "not reused")


def test_memory_is_bounded(engine):
    """Old prompts are forgotten, first by number, then by tokens; what they left is "unknown"."""
    engine._prompts = memory = PromptMemory(cache=engine.cache, max_prompts=3, max_tokens=900)
    for seed in range(5):
        ask(engine, prompt_ids(200, seed))
    assert len(memory._seen) == 3
    assert miss(engine, [*prompt_ids(200, 0), *OTHER]) == (200, "unknown")
    assert memory._num_tokens == sum(seen.num_tokens for seen in memory._seen.values())
    assert len(memory._seen) < 3


def test_what_a_prompt_leaves_in_the_cache(engine):
    """What was computed counts to the token; what was found does not, and no answer's tokens."""
    first, again = ask(engine, TEXT, max_tokens=60), ask(engine, [*TEXT, *OTHER[:60]])
    assert (first.num_cache_written_tokens, first.num_cached_tokens) == (400, 0)
    assert (again.num_cache_written_tokens, again.num_cached_tokens) == (60, 400)
    shorter = ask(engine, TEXT[:100])  # of which the last token is computed, as always
    assert (shorter.num_cache_written_tokens, shorter.num_cached_tokens) == (1, 99)


def test_times_add_up(engine):
    """Queue, prefill and decode are the request's life; queue and prefill its first token."""
    metrics = ask(engine, TEXT, max_tokens=8)
    assert metrics.queue_s >= 0
    assert metrics.queue_s + metrics.prefill_s == pytest.approx(metrics.ttft_s)
    assert metrics.decode_s == pytest.approx(7 / metrics.decode_tokens_per_s)
    stopped = ask(engine, OTHER, steps=2)
    assert (stopped.prefill_s, stopped.decode_s) == (None, None)
    assert replace(stopped, queue_s=None).queue_s is None
