"""Where an answer looked: equal to what transformers' own softmax says, in every way of running."""

from itertools import pairwise

import pytest
import torch

from longreach.config import EngineConfig, SparsePolicy
from longreach.engine.attention_look import AttentionLook, seen_spans
from longreach.engine.build import Overrides, build_engine
from longreach.engine.protocol import PromptRequest
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import InvalidRequestError

LENGTH = 150
SPANS = ((0, 4), (4, 50), (60, 61), (61, 120), (130, 150))


def build(folder, *, num_kv_tokens="auto", **settings):
    defaults = {"dtype": "float32", "page_size": 16, "seed": 0, "sparse": SparsePolicy(mode="off")}
    overrides = Overrides(num_kv_tokens=num_kv_tokens)
    config = EngineConfig(**defaults | settings)
    return build_engine(folder, config, overrides, device=torch.device("cpu"))


@pytest.fixture
def engine(tiny_qwen2):
    return build(tiny_qwen2, max_num_batched_tokens=64, lone_slice_tokens=64, max_num_seqs=4)


def prompt_ids(which=0, length=LENGTH):
    generator = torch.Generator().manual_seed(which)
    return torch.randint(0, 300, (length,), generator=generator).tolist()


def request(which=0, spans=SPANS, request_id=None, length=LENGTH, **params):
    sampling = {"temperature": 0.0, "ignore_eos": True, "max_tokens": 6} | params
    return PromptRequest(
        prompt_token_ids=prompt_ids(which, length),
        params=SamplingParams(**sampling),
        request_id=request_id,
        attention_spans=spans,
    )


def finished(engine, *requests, **options):
    """The last output of each request, in order."""
    ids = [engine.add_request(one) for one in requests]
    last = {}
    while engine.has_unfinished:
        last |= {output.request_id: output for output in engine.step(**options)}
        engine.check()
    return [last[request_id] for request_id in ids]


def brute_force(model, prompt, answer, spans):
    """Shares by transformers' whole attention matrices, summed key by key."""
    with torch.no_grad():
        attentions = model(torch.tensor([prompt + answer[:-1]]), output_attentions=True).attentions
    mass = [0.0] * len(spans)
    for row in range(len(prompt) - 1, len(prompt) + len(answer) - 1):
        few = (row + 1) // 16
        counted = range(min(30, few), row + 1 - min(128, few))
        for place, span in enumerate(spans):
            keys = [key for key in range(*span) if key in counted]
            mass[place] += sum(float(layer[0, :, row, keys].double().sum()) for layer in attentions)
    return [part / sum(mass) for part in mass]


def answers(engine, *requests):
    """Of each request: every token of its answer, and its last output."""
    ids = [engine.add_request(one) for one in requests]
    tokens, last = {name: [] for name in ids}, {}
    while engine.has_unfinished:
        for output in engine.step():
            last[output.request_id] = output
            for one in output.outputs:
                tokens[output.request_id] += one.token_ids if one.index == 0 else ()
        engine.check()
    return [(tokens[name], last[name]) for name in ids]


def test_shares_equal_brute_force(engine, tiny_qwen2, reference_model):
    """Of the prompt's last row and each decoded one, in slices of 64 rows."""
    [(tokens, last)] = answers(engine, request())
    want = brute_force(reference_model(tiny_qwen2), prompt_ids(), tokens, SPANS)
    assert last.attention == pytest.approx(want, abs=1e-5)
    assert sum(last.attention) == pytest.approx(1)


def test_chunks_of_dual_attention(tiny_dca):
    """With chunks of 48 keys, the pages before, between and after add up as one span does."""
    engine = build(tiny_dca, max_num_batched_tokens=64, max_num_seqs=4)
    cuts = [0, 47, 48, 49, 96, 100, 144, LENGTH]
    [fine] = finished(engine, request(spans=tuple(pairwise(cuts))))
    [coarse] = finished(engine, request(spans=((0, 96), (96, LENGTH))))
    joined = (sum(fine.attention[:4]), sum(fine.attention[4:]))
    assert joined == pytest.approx(coarse.attention, abs=1e-5)


def test_only_the_last_output_says_it(engine):
    """While an answer is being written there is no share yet; without spans there is none."""
    engine.add_request(request())
    outputs = []
    while engine.has_unfinished:
        outputs += engine.step()
    assert [output.attention is None for output in outputs] == [not o.finished for o in outputs]
    [without] = finished(engine, request(spans=()))
    assert without.attention is None


def test_a_batch_and_a_cached_prefix_change_nothing(engine):
    """Beside others, and after its prefix was cached."""
    [alone] = finished(engine, request())
    others = [request(seed, length=40 + seed, spans=()) for seed in (1, 2)]
    cached, *_ = finished(engine, request(), *others)
    assert cached.metrics.num_cached_tokens > 0
    assert cached.attention == pytest.approx(alone.attention, abs=1e-5)


def test_of_several_answers_the_first_counts(engine):
    """With n = 3 the shares are those of the answer that n = 1 gives."""
    drawn = {"temperature": 1.0, "seed": 5}
    [alone] = finished(engine, request(**drawn))
    engine.cache.forget_unused()
    [siblings] = finished(engine, request(**drawn, n=3))
    assert siblings.attention == pytest.approx(alone.attention, abs=1e-5)


def test_preemption_counts_no_row_twice(tiny_qwen2):
    """Whoever loses its pages and reads them again says what it says alone."""
    roomy = build(tiny_qwen2, max_num_batched_tokens=64, max_num_seqs=4)
    wanted = [finished(roomy, request(seed, max_tokens=40))[0] for seed in (0, 1)]
    tight = build(tiny_qwen2, max_num_batched_tokens=64, max_num_seqs=4, num_kv_tokens=352,
                  max_model_len=256)  # fmt: skip
    got = finished(tight, *(request(seed, max_tokens=40) for seed in (0, 1)))
    assert sum(output.metrics.num_preemptions for output in got) > 0
    for one, alone in zip(got, wanted, strict=True):
        assert one.attention == pytest.approx(alone.attention, abs=1e-5)


def test_a_dropped_step_does_not_count(engine):
    """Steps that were stopped between two layers leave no trace in the shares."""
    [alone] = finished(engine, request())
    engine.cache.forget_unused()
    calls = iter(range(10**6))
    [stopped] = finished(engine, request(), should_stop=lambda: next(calls) % 7 == 6)
    assert stopped.attention == pytest.approx(alone.attention, abs=1e-5)


@pytest.mark.parametrize(
    "spans",
    [((5, 5),), ((9, 3),), ((0, 9), (8, 12)), ((8, 9), (3, 4)), ((-1, 4),), ((0, LENGTH + 1),)],
)
def test_spans_that_are_none_are_refused(engine, spans):
    """Empty, descending, overlapping, beyond the prompt: an error before anything runs."""
    with pytest.raises(InvalidRequestError, match="attention_spans"):
        engine.add_request(request(spans=spans))
    assert not engine.has_unfinished


def test_a_request_that_ends_before_its_first_token_has_no_shares(engine):
    """Aborted while its prompt is read: None, not zeros."""
    name = engine.add_request(request())
    engine.step()
    engine.abort(name)
    [last] = [output for output in engine.step() if output.finished]
    assert last.attention is None


def test_first_and_newest_keys_do_not_count():
    """30 sinks and 128 of the window in a long text; a sixteenth each in a short one."""
    spans = ((0, 10), (10, 500), (500, 3000), (3000, 4000), (4000, 4001))
    assert seen_spans(spans, 3999) == (1, [(30, 500), (500, 3000), (3000, 3872)])
    assert seen_spans(((0, 1), (1, 32)), 31) == (1, [(2, 30)])
    assert seen_spans(((0, 2),), 2) == (0, [(0, 2)])


def test_nothing_seen_is_no_share():
    """A span that no row can see a counted key of gives None."""
    look = AttentionLook(((0, 10),))
    assert seen_spans(look.spans, 5000).spans == []
    look.keep_step()
    assert look.shares is None
