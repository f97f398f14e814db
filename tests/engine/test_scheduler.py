"""What each step computes."""

import itertools

import pytest

from longreach.cache import DENSE, KVCache, Provenance
from longreach.engine.request import Request, RequestState
from longreach.engine.scheduler import Scheduler
from longreach.errors import InvalidRequestError, MemoryPlanError
from support.fake_runner import FakeRunner, outputs_alone, run_all, step
from support.pools import small_pool

PAGE = 4
LOW = Provenance(mode="adaptive", target=0.9)
HIGH = Provenance(mode="adaptive", target=0.95)


class Engine:
    """A scheduler and a fake runner."""

    def __init__(self, num_pages=64, *, batched=8, lone=32, dense=None, seqs=4, **cache):
        self.cache = KVCache(num_pages, PAGE, **cache)
        self.scheduler = Scheduler(
            self.cache,
            max_num_batched_tokens=batched,
            lone_slice_tokens=lone,
            dense_slice_tokens=dense,
            max_num_seqs=seqs,
        )
        self.runner = FakeRunner(self.cache)
        self.ids = itertools.count()

    def add(self, prompt, max_tokens=4, **options):
        request = Request(
            request_id=str(next(self.ids)),
            prompt_token_ids=list(prompt),
            max_tokens=max_tokens,
            **options,
        )
        self.scheduler.add(request)
        return request

    def step(self, **options):
        """One step, as [(id, start, length), ...]."""
        plan, _ = step(self.scheduler, self.runner, **options)
        return [(p.request.request_id, p.start, p.length) for p in plan.slices]

    def run(self):
        return run_all(self.scheduler, self.runner)


def test_one_request():
    """A prompt is computed, then a token a step, until max_tokens."""
    engine = Engine()
    request = engine.add([1, 2, 3], max_tokens=3)
    assert [engine.step() for _ in range(3)] == [[("0", 0, 3)], [("0", 3, 1)], [("0", 4, 1)]]
    assert request.is_finished
    assert request.finish_reason == "length"
    assert request.output_token_ids == outputs_alone([1, 2, 3], 3)
    assert not engine.scheduler.has_unfinished
    assert engine.scheduler.schedule().slices == ()


def test_lone_prompts_get_long_slices():
    """A prompt that is alone is read in slices of lone_slice_tokens, in one physical run."""
    engine = Engine()
    request = engine.add(range(70))
    assert engine.step() == [("0", 0, 32)]
    assert engine.step() == [("0", 32, 32)]
    assert engine.step() == [("0", 64, 6)]
    assert request.table.runs(70) == ((0, 0, 70),)


def test_dense_prompts_get_shorter_slices():
    """Where no pattern is chosen for a slice, it need not be long; sparse ones stay as they are."""
    engine = Engine(dense=16)
    engine.add(range(40))
    assert engine.step() == [("0", 0, 16)]
    engine.run()
    engine.add(range(50, 90), wanted=LOW)
    assert engine.step() == [("1", 0, 32)]


def test_slices_shrink_under_load():
    """As soon as another request runs, slices keep to max_num_batched_tokens."""
    engine = Engine()
    engine.add(range(70))
    assert engine.step() == [("0", 0, 32)]
    engine.add([9, 9])
    assert engine.step() == [("0", 32, 6), ("1", 0, 2)]
    assert engine.step() == [("1", 2, 1), ("0", 38, 7)]


def test_who_cannot_start_does_not_shrink_slices():
    """Requests that wait for a seat gain nothing from short slices."""
    engine = Engine(seqs=1)
    engine.add(range(70))
    engine.add([9, 9])
    assert engine.step() == [("0", 0, 32)]


def test_decodes_come_first():
    """Each decoding request has its token in each step, ahead of any prompt."""
    engine = Engine()
    short = [engine.add([7, 7, at], max_tokens=9) for at in (1, 2)]
    engine.step()
    long = engine.add(range(50))
    for _ in range(5):
        plan, _ = step(engine.scheduler, engine.runner)
        assert [p.request for p in plan.slices] == [*short, long]
        assert [p.is_decode for p in plan.slices] == [True, True, False]
        assert plan.num_tokens == 8


def test_short_prompts_pass_a_long_one():
    """The oldest prompt gets half of the share, the shortest others the rest."""
    engine = Engine()
    engine.add(range(60))
    engine.add(range(100, 130))
    engine.add([5, 6])
    assert engine.step() == [("0", 0, 4), ("1", 0, 2), ("2", 0, 2)]


def test_a_share_not_used_is_passed_on():
    """What the shorter prompts leave goes back to the oldest, and the reverse."""
    engine = Engine()
    engine.add([1])
    engine.add(range(100, 130))
    assert engine.step() == [("0", 0, 1), ("1", 0, 7)]
    engine = Engine()
    engine.add(range(30))
    engine.add([1])
    assert engine.step() == [("0", 0, 7), ("1", 0, 1)]


def test_max_num_seqs():
    """No more requests run than there are seats; the next starts when one ends."""
    engine = Engine(seqs=2)
    for at in range(3):
        engine.add([at], max_tokens=2)
    assert [name for name, _, _ in engine.step()] == ["0", "1"]
    engine.step()
    assert engine.step() == [("2", 0, 1)]


def test_stop_and_reasons():
    """The engine says who stops with the token just sampled; others go on to max_tokens."""
    engine = Engine()
    one, two = engine.add([1]), engine.add([2])
    engine.step()
    engine.step(stopped={"0": "stop"})
    assert (one.finish_reason, len(one.output_token_ids)) == ("stop", 2)
    engine.run()
    assert (two.finish_reason, len(two.output_token_ids)) == ("length", 4)


def test_second_question_reuses_the_prompt():
    """A prompt seen before is computed from its first new token on only, and always its last."""
    engine = Engine()
    engine.add(range(21))
    engine.run()
    second = engine.add([*range(20), 90, 91])
    assert engine.step() == [("1", 20, 2)]
    assert second.num_cached_tokens == 20
    same = engine.add(range(20))
    engine.step()
    assert same.num_cached_tokens == 19


def test_answers_are_reused():
    """A conversation goes on from the answer: decoded tokens, all but the last, are found too."""
    engine = Engine()
    first = engine.add(range(10), max_tokens=8)
    engine.run()
    again = engine.add([*range(10), *first.output_token_ids, 5])
    engine.step()
    assert again.num_cached_tokens == 17


def test_provenance_reaches_the_pages():
    """Sparse pages serve later sparse requests, not dense ones; dense rows replace them."""
    engine = Engine()
    engine.add(range(20), wanted=HIGH)
    engine.run()
    for wanted, cached in ((LOW, 19), (HIGH, 19), (DENSE, 0), (DENSE, 19), (HIGH, 19)):
        request = engine.add(range(20), wanted=wanted)
        engine.run()
        assert request.num_cached_tokens == cached


def test_reuse_can_be_refused():
    """A request without reuse computes every row, and still leaves pages for others."""
    engine = Engine()
    for cached, reuse in ((0, False), (0, False), (19, True)):
        request = engine.add(range(20), reuse_prefix=reuse)
        engine.run()
        assert request.num_cached_tokens == cached


def test_siblings_compute_the_prompt_once():
    """Requests that share a prefix being computed wait for it, and then start from it."""
    engine = Engine()
    siblings = [engine.add(range(41), max_tokens=2) for _ in range(4)]
    assert engine.step() == [("0", 0, 32)]
    assert [r.state for r in siblings[1:]] == [RequestState.WAITING] * 3
    engine.run()
    assert [r.num_cached_tokens for r in siblings] == [0, 40, 40, 40]
    assert engine.runner.rows == 41 + 3 + 4
    assert len({tuple(r.output_token_ids) for r in siblings}) == 1


def test_sharing_ends_where_prompts_part():
    """A request waits for the shared pages only, not for the rest of the other's prompt."""
    engine = Engine(lone=8)
    engine.add(range(60))
    engine.add([*range(8), *range(100, 110)])
    assert engine.step() == [("0", 0, 8)]
    assert engine.step() == [("0", 8, 4), ("1", 8, 4)]


@pytest.mark.parametrize(
    "apart",
    [
        {"cache_salt": "b"},
        {"cache_seed": b"b"},
        {"reuse_prefix": False},
        {"wanted": DENSE},
    ],
)
def test_nobody_waits_for_what_it_cannot_use(apart):
    """Another salt, another base, no reuse or a worse attention: no reason to wait."""
    engine = Engine()
    engine.add(range(40), wanted=LOW)
    engine.add(range(40), **{"wanted": LOW, **apart})
    assert len(engine.step()) == 2


def test_waiting_for_one_who_leaves():
    """When the one that computes a shared prefix is aborted, the next goes on from its pages."""
    engine = Engine(lone=8)
    engine.add(range(40))
    second = engine.add(range(40))
    engine.step()
    engine.scheduler.abort("0")
    assert engine.step() == [("1", 8, 8)]
    assert second.num_cached_tokens == 8


def test_abort_keeps_finished_pages():
    """An aborted prompt goes on where it was when it is asked again."""
    engine = Engine()
    request = engine.add(range(70))
    engine.step()
    assert engine.scheduler.abort("0") is request
    assert (request.state, request.finish_reason) == (RequestState.FINISHED, "abort")
    assert engine.cache.stats().num_cached == 8
    again = engine.add(range(70))
    assert engine.step() == [("1", 32, 32)]
    assert again.num_cached_tokens == 32


def test_abort_of_the_waiting_and_the_unknown():
    """A waiting request can be aborted; unknown and ended ones are ignored."""
    engine = Engine(seqs=1)
    engine.add([1])
    engine.add([2])
    engine.step()
    assert engine.scheduler.abort("1", reason="timeout").finish_reason == "timeout"
    assert engine.scheduler.abort("1") is None
    assert engine.scheduler.abort("x") is None
    engine.run()


def test_abort_during_a_step():
    """A step that ran for an aborted request changes nothing for it, and counts for others."""
    engine = Engine()
    gone, stays = engine.add([1, 2]), engine.add([3, 4])
    plan = engine.scheduler.schedule()
    sampled, _ = engine.runner.run(plan)
    engine.scheduler.abort("0")
    engine.scheduler.update(plan, sampled)
    engine.scheduler.check()
    assert gone.output_token_ids == []
    assert len(stays.output_token_ids) == 1


def test_a_dropped_plan_is_made_again():
    """A step that was interrupted is scheduled again, from the same place."""
    engine = Engine()
    engine.add(range(50))
    first, second = engine.scheduler.schedule(), engine.scheduler.schedule()
    assert first == second
    engine.scheduler.check()


def test_preempts_the_youngest():
    """When decodes run out of pages the youngest yields, and resumes from its cached pages."""
    engine = Engine(num_pages=6)
    requests = [engine.add([at] * 7, max_tokens=9) for at in range(2)]
    preempted = []
    while engine.scheduler.has_unfinished:
        plan, _ = step(engine.scheduler, engine.runner)
        preempted += plan.preempted
        assert all(r.num_cached_tokens == 0 for r in requests)
    assert preempted == [requests[1]]
    for at, request in enumerate(requests):
        assert request.output_token_ids == outputs_alone([at] * 7, 9)


def test_preempted_prompts_keep_their_pages_if_they_can():
    """A preempted request has lost only the pages that others took."""
    engine = Engine(num_pages=7, lone=4, batched=4)
    old = engine.add([1] * 3, max_tokens=10)
    engine.step()
    young = engine.add([2] * 20, max_tokens=1)
    states = []
    while engine.scheduler.has_unfinished:
        engine.step()
        states.append((young.state, young.num_computed_tokens))
    assert (RequestState.PREEMPTED, 0) in states
    resumed = states[states.index((RequestState.PREEMPTED, 0)) :]
    assert next(done for state, done in resumed if state is RequestState.PREFILL) > 4
    assert old.output_token_ids == outputs_alone([1] * 3, 10)
    assert young.num_cached_tokens == 0


def test_no_newcomer_while_pages_are_short():
    """A request starts only if a page stays for each that runs."""
    engine = Engine(num_pages=4, batched=8)
    engine.add([1] * 4, max_tokens=6)
    engine.add([2] * 12, max_tokens=1)
    assert engine.step() == [("0", 0, 4)]
    assert engine.step() == [("0", 4, 1)]


def test_first_come_is_not_starved():
    """A large request starts although small ones never stop coming."""
    engine = Engine(num_pages=8, seqs=3)
    engine.add([9], max_tokens=8)
    engine.step()
    large = engine.add(range(30), max_tokens=2)
    for at in range(200):
        engine.add([50 + at % 40], max_tokens=4)
        engine.step()
        if large.is_finished:
            return
    pytest.fail("the large request never ended")


def test_impossible_requests_are_refused():
    """A request that can never fit gets the numbers, and its neighbours go on."""
    engine = Engine(num_pages=4, pool=small_pool(4, PAGE))
    engine.add([1], max_tokens=16)
    with pytest.raises(MemoryPlanError, match="needs 5 pages of 4 tokens, the pool has 4") as info:
        engine.add(range(10), max_tokens=8)
    assert (info.value.needed, info.value.available) == (5 * 64, 4 * 64)
    engine.add(range(100, 110), max_tokens=7)
    engine.run()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"prompt": []}, "prompt_token_ids"),
        ({"prompt": [1], "max_tokens": 0}, "max_tokens"),
    ],
)
def test_bad_requests(options, field):
    """An empty prompt and max_tokens below 1 are refused by name."""
    engine = Engine()
    with pytest.raises(InvalidRequestError, match=field):
        engine.add(**options)
    assert not engine.scheduler.has_unfinished


def test_an_id_is_used_once():
    """Two requests cannot share an id while the first lives."""
    engine = Engine()
    engine.add([1])
    engine.ids = itertools.count()
    with pytest.raises(InvalidRequestError, match="request_id"):
        engine.add([2])
    engine.run()
    engine.ids = itertools.count()
    engine.add([2])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"batched": 3, "seqs": 4}, "max_num_batched_tokens"),
        ({"seqs": 0}, "max_num_seqs"),
        ({"lone": 0}, "lone_slice_tokens"),
    ],
)
def test_bad_limits(options, field):
    """Limits that leave a decoding request without its token are refused by name."""
    with pytest.raises(InvalidRequestError, match=field):
        Engine(**options)


def test_waiting_costs_no_look_at_the_cache(monkeypatch):
    """While another request reads the prefix, the cache is not asked for it again and again."""
    engine = Engine(lone=4, batched=4)
    engine.add(range(60))
    engine.add([*range(40), 70, 71])
    engine.step()
    looks = []
    match = engine.cache.match_table
    monkeypatch.setattr(engine.cache, "match_table", lambda *a: looks.append(1) or match(*a))
    for _ in range(8):
        engine.step()
    assert len(looks) == 0
    engine.run()


def test_named_tokens_are_of_the_prompt():
    """A prompt that is preempted while it is read does not count its pages twice."""
    engine = Engine(num_pages=22, batched=8, lone=8)
    engine.add([1, 2, 3], max_tokens=40)
    engine.add([4, 5, 6], max_tokens=40)
    engine.step()
    engine.step()
    long = engine.add(range(100, 160), max_tokens=2)
    engine.run()
    assert not long.is_first_run
    assert long.num_named_tokens == long.num_prompt_tokens


def test_who_keeps_no_pages_keeps_no_copied_tokens():
    """Not even when the page that they were copied from is gone before it ends."""
    engine = Engine(num_pages=8, seqs=2)
    engine.add([1, 2, 3, 4, 5, 6], max_tokens=1)
    engine.run()
    guest = engine.add([1, 2, 3, 4, 5, 9, 9, 9], max_tokens=12, keeps_pages=False)
    engine.step()
    assert guest.num_cached_tokens == 5
    engine.add(range(50, 58), max_tokens=9)
    engine.run()
    assert engine.cache.match_prefix([1, 2, 3, 4, 5, 9]).num_tokens in (0, 4)
