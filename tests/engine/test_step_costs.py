"""Steps held to a time: the model of their cost, the rows it allows, what answers feel of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.cache import KVCache
from longreach.config import EngineConfig
from longreach.engine.request import Request
from longreach.engine.scheduler import Scheduler
from longreach.engine.step_costs import (
    MIN_PROMPT_ROWS,
    CostModel,
    InterTokenBudget,
    StepCosts,
    fit,
)
from longreach.errors import InvalidRequestError
from support.async_engine import build, request

COSTS = st.floats(1e-7, 1e-2)
STEPS = [(8, 8 * 900), (64, 0), (200, 200 * 500), (512, 512 * 2000), (1024, 0), (64, 64 * 9000)]


@given(COSTS, COSTS, COSTS)
@settings(max_examples=50)
def test_exact_steps_give_the_exact_model(base, row, pair):
    """Where the three parts explain the steps, they are found."""
    truth = CostModel(base_s=base, row_s=row, pair_s=pair)
    found = fit([(rows, pairs, truth.seconds(rows, pairs)) for rows, pairs in STEPS])
    for rows, pairs in STEPS:
        assert found.seconds(rows, pairs) == pytest.approx(truth.seconds(rows, pairs), rel=1e-4)


@given(
    st.lists(
        st.tuples(st.integers(1, 4096), st.integers(0, 10**9), st.floats(1e-6, 100.0)), max_size=40
    )
)
@settings(max_examples=100)
def test_no_part_is_ever_negative(steps):
    """Whatever was measured, more rows never take less time."""
    model = fit(steps)
    assert min(model.base_s, model.row_s, model.pair_s) >= 0


def test_one_slow_step_does_not_rule():
    """A step that took fifty times as long moves the model little."""
    truth = CostModel(base_s=0.01, row_s=1e-4, pair_s=1e-8)
    steps = [(rows, pairs, truth.seconds(rows, pairs)) for rows, pairs in STEPS * 4]
    found = fit([*steps, (512, 0, 50 * truth.seconds(512, 0))])
    assert found.seconds(512, 0) == pytest.approx(truth.seconds(512, 0), rel=0.2)


def test_before_anything_is_known_steps_begin_small():
    """The first steps have MIN_PROMPT_ROWS, later ones at most twice what was seen to go well."""
    costs = StepCosts()
    limit = InterTokenBudget(1.0, costs)
    assert limit(0, [100]) == MIN_PROMPT_ROWS
    costs.observe(64, 0, 1e-3)
    assert limit(0, [100]) == 128
    costs.observe(500, 0, 2.0)
    assert MIN_PROMPT_ROWS <= limit(0, [100]) < 500


def test_the_minimum_is_kept_where_even_decoding_is_too_slow():
    """A prompt gets MIN_PROMPT_ROWS though the answers alone take longer than the budget."""
    costs = StepCosts()
    for _ in range(10):
        costs.observe(64, 0, 5.0)
    assert InterTokenBudget(0.001, costs)(100_000, [10**6] * 8) == MIN_PROMPT_ROWS


def test_long_answers_do_not_make_it_forget():
    """What reading costs is still known after a thousand steps of decoding."""
    costs = StepCosts()
    costs.observe(1000, 0, 0.5)
    for _ in range(1000):
        costs.observe(1, 500, 0.01)
    assert costs.most_rows == 1000


def simulate(budget_s, prompt, truth, num_answers=4):
    """A long prompt beside answers, on a fake clock: (seconds, prompt rows) of each step."""
    costs = StepCosts()
    scheduler = Scheduler(
        KVCache(4000, 64),
        max_num_batched_tokens=2048,
        lone_slice_tokens=8192,
        max_num_seqs=8,
        row_limit=InterTokenBudget(budget_s, costs),
    )

    def step():
        plan = scheduler.schedule()
        seconds = truth.seconds(plan.num_tokens, plan.num_pairs)
        costs.observe(plan.num_tokens, plan.num_pairs, seconds)
        scheduler.update(plan, {p.request.request_id: [0] for p in plan.slices if p.samples})
        return seconds, sum(p.length for p in plan.slices if not p.is_decode)

    for at in range(num_answers):
        scheduler.add(Request(request_id=str(at), prompt_token_ids=range(100), max_tokens=5000))
    for _ in range(20):
        step()
    long = Request(request_id="long", prompt_token_ids=range(9, prompt + 9), max_tokens=1)
    scheduler.add(long)
    steps = []
    while not long.is_finished:
        steps.append(step())
    return steps


@pytest.mark.parametrize("pair", [0.0, 1e-9, 2e-8])
def test_steps_stay_near_the_budget(pair):
    """While a prompt is read beside answers, steps last at most the budget, and most of it."""
    truth = CostModel(base_s=0.02, row_s=2e-4, pair_s=pair)
    steps = simulate(0.2, 60_000, truth)
    full = [(seconds, rows) for seconds, rows in steps[8:-1] if rows > MIN_PROMPT_ROWS]
    assert max(seconds for seconds, _ in full) < 0.2 * 1.1
    assert min(seconds for seconds, _ in full) > 0.2 * 0.7
    assert all(rows >= MIN_PROMPT_ROWS for _, rows in steps[:-1])


def test_a_budget_that_cannot_be_kept_starves_nobody():
    """With a hopeless budget the prompt is read in the smallest steps, to its end."""
    steps = simulate(0.001, 5000, CostModel(base_s=0.02, row_s=2e-4))
    assert {rows for _, rows in steps[:-1]} == {MIN_PROMPT_ROWS}


def test_a_lone_prompt_is_not_held_to_it():
    """While nobody decodes there is no time between tokens: slices are those without a budget."""
    steps = simulate(0.001, 30_000, CostModel(base_s=0.02, row_s=2e-4), num_answers=0)
    assert [rows for _, rows in steps] == [8192, 8192, 8192, 30_000 - 3 * 8192]


def test_the_engine_obeys_and_measures(tiny_qwen2):
    """With max_inter_token_ms a prompt beside an answer begins with small slices; equal answers."""
    answers = []
    for budget in (None, 1e-6):
        engine = build(tiny_qwen2, max_num_batched_tokens=512, max_inter_token_ms=budget)
        engine.add_request(request(20, max_tokens=40, request_id="first"))
        engine.step()
        engine.add_request(request(600, seed=1, request_id="long"))
        outputs = engine.step()
        read = engine.progress("long").read
        while engine.has_unfinished:
            outputs += engine.step()
            engine.check()
        answers.append(
            [t for o in outputs if o.request_id == "long" for t in o.outputs[0].token_ids]
        )
        assert read == (511 if budget is None else MIN_PROMPT_ROWS)
        assert bool(engine._costs.most_rows) is (budget is not None)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("budget", [0, -1.0, "fast", True, float("nan")])
def test_a_budget_is_a_time(budget):
    """Anything but a number above 0 is refused by name."""
    with pytest.raises(InvalidRequestError, match="max_inter_token_ms"):
        EngineConfig(max_inter_token_ms=budget)
