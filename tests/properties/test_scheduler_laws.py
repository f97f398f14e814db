"""Laws of the scheduler: any requests, steps, aborts and interruptions, in a small pool."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longreach.cache import DENSE, KVCache, Provenance
from longreach.engine.request import Request, RequestState
from longreach.engine.scheduler import Scheduler
from longreach.errors import MemoryPlanError
from support.fake_runner import VOCABULARY, FakeRunner, outputs_alone, run_all

PAGE, NUM_PAGES, BATCHED, LONE, SEQS = 4, 12, 8, 16, 3
WANTED = [DENSE, Provenance(mode="adaptive", target=0.9), Provenance(mode="adaptive", target=0.95)]
TEXT = [3, 1, 4, 1, 5, 2, 6, 5, 3, 5] * 4


class Engine(RuleBasedStateMachine):
    """Every step is checked against the promises in the scheduler's docstring."""

    row_limit = None
    draft = None

    def __init__(self):
        super().__init__()
        self.cache = KVCache(NUM_PAGES, PAGE)
        self.scheduler = Scheduler(
            self.cache,
            max_num_batched_tokens=BATCHED,
            lone_slice_tokens=LONE,
            max_num_seqs=SEQS,
            row_limit=self.row_limit,
            draft=self.draft,
        )
        self.runner = FakeRunner(self.cache)
        self.requests = []

    @rule(
        shared=st.integers(0, 40),
        tail=st.lists(st.integers(0, 1), min_size=1, max_size=8),
        max_tokens=st.integers(1, 12),
        salt=st.sampled_from(["", "", "b"]),
        wanted=st.sampled_from(WANTED),
        reuse=st.sampled_from([True, True, False]),
    )
    def add(self, shared, tail, max_tokens, salt, wanted, reuse):
        """A request is taken exactly if its pages fit in the whole pool."""
        prompt = TEXT[:shared] + tail
        request = Request(
            request_id=str(len(self.requests)),
            prompt_token_ids=prompt,
            max_tokens=max_tokens,
            cache_salt=salt,
            wanted=wanted,
            reuse_prefix=reuse,
        )
        fits = len(prompt) + max_tokens - 1 <= NUM_PAGES * PAGE
        try:
            self.scheduler.add(request)
        except MemoryPlanError:
            assert not fits
        else:
            assert fits
            self.requests.append(request)

    @rule(data=st.data())
    def step(self, data):
        """One step; some requests may stop with it."""
        before = {r for r in self.scheduler.running if r.state is RequestState.DECODE}
        plan = self.scheduler.schedule()
        self._check_plan(plan, before - {*plan.preempted})
        sampled, provenances = self.runner.run(plan)
        names = sorted(sampled)
        stopped = data.draw(st.lists(st.sampled_from(names), max_size=1)) if names else []
        ended = self.scheduler.update(
            plan, sampled, provenances=provenances, stopped=dict.fromkeys(stopped, "stop")
        )
        assert all(request.is_finished for request in ended)
        assert {*stopped} <= {request.request_id for request in ended}

    def _check_plan(self, plan, decoding):
        running = self.scheduler.running
        assert bool(plan.slices) is self.scheduler.has_unfinished
        assert len({piece.request for piece in plan.slices}) == len(plan.slices)
        assert plan.num_tokens <= (LONE if len(running) == 1 else BATCHED)
        decodes = [piece for piece in plan.slices if piece.is_decode]
        assert {piece.request for piece in decodes} == decoding
        assert [*plan.slices[: len(decodes)]] == decodes
        assert not running or running[0] in {piece.request for piece in plan.slices}
        for piece in plan.slices:
            assert piece.end <= piece.request.table.num_slots
            known = piece.end - len(piece.request.draft_token_ids)
            assert piece.samples is (known == piece.request.num_tokens)
            assert not piece.is_decode or piece.length == 1 + piece.end - known
            assert known == piece.end or len(self.scheduler.running) == 1

    @rule()
    def interrupted_step(self):
        """A plan that is never run does no harm, even where half of it was written."""
        self.runner.run(self.scheduler.schedule())

    @precondition(lambda self: self.scheduler.has_unfinished)
    @rule(data=st.data())
    def abort(self, data):
        """Any request may be aborted between steps."""
        live = [r for r in self.requests if not r.is_finished]
        self.scheduler.abort(data.draw(st.sampled_from(live)).request_id)

    @rule(sure=st.sampled_from([False] * 9 + [True]))
    def reset(self, sure):
        """The prefix cache may be emptied at any time. Rarely, or little is ever reused."""
        if sure:
            self.cache.forget_unused()

    @invariant()
    def laws(self):
        """Pages and queues are sound; seats are not exceeded."""
        self.scheduler.check()
        assert len(self.scheduler.running) <= SEQS

    def teardown(self):
        """Every request ends, says what it would say alone, and leaves no page behind."""
        run_all(self.scheduler, self.runner)
        for request in self.requests:
            assert request.is_finished
            alone = outputs_alone(request.prompt_token_ids, request.max_tokens, request.cache_salt)
            count = len(request.output_token_ids)
            assert request.output_token_ids == alone[:count]
            assert request.finish_reason != "length" or count == request.max_tokens
            assert request.reuse_prefix or request.num_cached_tokens == 0
        assert self.cache.stats().num_owned == 0


class LimitedEngine(Engine):
    """The same laws where a row limit makes the prompts' share smaller beside answers."""

    @staticmethod
    def row_limit(start, decodes):
        assert decodes
        return 1 + start % 3

    def _check_plan(self, plan, decoding):
        super()._check_plan(plan, decoding)
        prompts = [piece for piece in plan.slices if not piece.is_decode]
        assert not decoding or sum(piece.length for piece in prompts) <= 3


class DraftingEngine(Engine):
    """The same laws where a lone answer is guessed: wholly, in part, or not at all right."""

    @staticmethod
    def draft(request, room):
        count = len(request.output_token_ids)
        alone = outputs_alone(request.prompt_token_ids, count + 5, request.cache_salt)
        guess = alone[count : count + room]
        wrong = count % 5
        guess[wrong : wrong + 1] = [VOCABULARY] * len(guess[wrong : wrong + 1])
        return guess


TestEngine, TestLimitedEngine = Engine.TestCase, LimitedEngine.TestCase
TestDraftingEngine = DraftingEngine.TestCase
for case in (TestEngine, TestLimitedEngine, TestDraftingEngine):
    case.settings = settings(max_examples=60, stateful_step_count=40)
