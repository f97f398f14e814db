"""The Python API on tiny random models, against transformers and against itself."""

import json
import math
import os
import shutil
import signal
import threading

import pytest
import torch

from longreach import (
    LLM,
    ContextLengthError,
    InvalidRequestError,
    MemoryPlanError,
    SamplingParams,
)
from longreach.engine import sparse_choice
from longreach.ops.sparse import measure_recalls


def greedy(max_tokens=12, **others):
    return SamplingParams(temperature=0.0, max_tokens=max_tokens, ignore_eos=True, **others)


@pytest.fixture
def open_llm():
    """LLM in float32 that is closed after the test; small pages make sharing visible."""
    opened = []

    def make(folder, **options):
        opened.append(LLM(folder, **{"dtype": "float32", "page_size": 16, "seed": 0} | options))
        return opened[-1]

    yield make
    for llm in opened:
        llm.engine.check()
        llm.close()


@pytest.fixture
def llm(open_llm, tiny_qwen2):
    return open_llm(tiny_qwen2)


def ids_of(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 300, (length,), generator=generator).tolist()


def prompt(length, seed=0):
    return {"prompt_token_ids": ids_of(length, seed)}


def tokens(output, index=0):
    return list(output.outputs[index].token_ids)


def alone(llm, one, params):
    llm.engine.cache.forget_unused()
    return tokens(llm.generate(one, params)[0])


# --- against transformers


@pytest.mark.parametrize("length", [1, 15, 16, 17, 300])
def test_greedy_equals_transformers(llm, tiny_qwen2, reference_model, length):
    """Greedy decoding gives the tokens that transformers gives."""
    ids = ids_of(length)
    (output,) = llm.generate({"prompt_token_ids": ids}, greedy())
    with torch.inference_mode():
        expected = reference_model(tiny_qwen2).generate(
            torch.tensor([ids]), max_new_tokens=12, min_new_tokens=12, do_sample=False
        )
    assert tokens(output) == expected[0, length:].tolist()


def test_prompt_logprobs_equal_transformers(llm, tiny_qwen2, reference_model):
    """prompt_logprobs are log_softmax of transformers' logits; the own token is always there."""
    ids = ids_of(200)
    params = greedy(1, prompt_logprobs=3)
    llm.generate({"prompt_token_ids": ids}, greedy(1))  # a cached prefix must not be reused
    (output,) = llm.generate({"prompt_token_ids": ids}, params)
    with torch.inference_mode():
        logits = reference_model(tiny_qwen2)(torch.tensor([ids])).logits[0].log_softmax(-1)
    entries = output.prompt_logprobs
    assert len(entries) == 200
    assert entries[0] is None
    assert output.metrics.num_cached_tokens == 0
    for at in range(1, 200):
        own = entries[at][ids[at]]
        assert own.logprob == pytest.approx(float(logits[at - 1, ids[at]]), abs=2e-4)
        best = sorted(entries[at].values(), key=lambda entry: entry.rank)[:3]
        expected = logits[at - 1].topk(3).values
        assert [entry.logprob for entry in best] == pytest.approx(expected.tolist(), abs=2e-4)


def test_logprobs_of_the_answer(llm):
    """logprobs hold one entry per token, with the token itself; cumulative_logprob is their sum."""
    (output,) = llm.generate(prompt(40), greedy(8, logprobs=2))
    answer = output.outputs[0]
    assert len(answer.logprobs) == len(answer.token_ids) == 8
    pairs = zip(answer.logprobs, answer.token_ids, strict=True)
    own = [entry[token] for entry, token in pairs]
    assert all(entry.rank == 1 for entry in own)
    assert answer.cumulative_logprob == pytest.approx(math.fsum(entry.logprob for entry in own))


# --- the laws: batches, slices, cache


def test_a_batch_equals_each_request_alone(llm):
    """Requests of different lengths, read and continued in one batch, answer as if alone."""
    prompts = [prompt(n, seed=n) for n in (3, 70, 200, 33)]
    params = [greedy(n) for n in (9, 4, 12, 7)]
    together = [tokens(output) for output in llm.generate(prompts, params)]
    assert together == [alone(llm, p, q) for p, q in zip(prompts, params, strict=True)]


@pytest.mark.parametrize("fixture", ["tiny_qwen2", "tiny_dca"])
@pytest.mark.parametrize("size", [1, 7, 48, 100])
def test_slices_of_any_size_give_the_same(open_llm, request, fixture, size):
    """The cut of a prompt into slices changes nothing, with dual chunks or without."""
    folder = request.getfixturevalue(fixture)
    whole = open_llm(folder)
    sliced = open_llm(folder, lone_slice_tokens=size, max_num_batched_tokens=size, max_num_seqs=1)
    params = greedy(4, prompt_logprobs=0)
    one, other = (opened.generate(prompt(170), params)[0] for opened in (whole, sliced))
    assert tokens(one) == tokens(other)
    for a, b in zip(one.prompt_logprobs[1:], other.prompt_logprobs[1:], strict=True):
        (left,), (right,) = a.values(), b.values()
        assert left.logprob == pytest.approx(right.logprob, abs=1e-4)


@pytest.mark.parametrize("fixture", ["tiny_qwen2", "tiny_dca"])
def test_a_cached_prefix_equals_a_recomputed_one(open_llm, request, fixture):
    """A prompt reuses every token that it begins like an earlier one, and answers the same."""
    llm = open_llm(request.getfixturevalue(fixture))
    shared = ids_of(150)
    llm.generate({"prompt_token_ids": [*shared, 5, 6]}, greedy(1))
    longer = {"prompt_token_ids": [*shared, *ids_of(60, seed=9)]}
    (cached,) = llm.generate(longer, greedy())
    assert cached.metrics.num_cached_tokens == 150
    assert tokens(cached) == alone(llm, longer, greedy())


@pytest.mark.parametrize("fixture", ["tiny_qwen2", "tiny_dca"])
@pytest.mark.parametrize("at", [1, 143, 144, 145, 159])
def test_a_second_question_starts_where_it_differs(open_llm, request, fixture, at):
    """At that very token, within a page too, and it says what a fresh engine says; the same
    question again leaves only its last token to compute.
    """
    folder, document = request.getfixturevalue(fixture), ids_of(at)
    one, two = ({"prompt_token_ids": [*document, own, *ids_of(30, seed=own)]} for own in (5, 6))
    params, llm = greedy(logprobs=0), open_llm(folder)
    llm.generate(one, params)
    (second,) = llm.generate(two, params)
    (again,) = llm.generate(two, params)
    (fresh,) = open_llm(folder).generate(two, params)
    assert second.metrics.num_cached_tokens == at
    assert again.metrics.num_cached_tokens == at + 30
    for output in (second, again):
        assert tokens(output) == tokens(fresh)
        assert output.outputs[0].cumulative_logprob == pytest.approx(
            fresh.outputs[0].cumulative_logprob, abs=1e-3
        )


def test_an_answer_is_cached_for_the_next_turn(llm):
    """What was computed while decoding, all but the last token, serves a prompt with the answer."""
    ids = ids_of(40)
    (first,) = llm.generate({"prompt_token_ids": ids}, greedy(30))
    turn = {"prompt_token_ids": [*ids, *tokens(first), 1, 2, 3]}
    (second,) = llm.generate(turn, greedy())
    assert second.metrics.num_cached_tokens == 69
    assert tokens(second) == alone(llm, turn, greedy())


def test_cache_salts_keep_tenants_apart(llm):
    """Requests with different salts share no pages."""
    llm.generate(prompt(100), greedy(1), cache_salt="a")
    (other,) = llm.generate(prompt(100), greedy(1), cache_salt="b")
    (same,) = llm.generate(prompt(100), greedy(1), cache_salt="a")
    assert other.metrics.num_cached_tokens == 0
    assert same.metrics.num_cached_tokens == 99


def test_no_reuse_where_it_is_switched_off(open_llm, tiny_dca):
    """Neither enable_prefix_caching=False nor temperature_mode="length" reuses pages."""
    for options in ({"enable_prefix_caching": False}, {"temperature_mode": "length"}):
        llm = open_llm(tiny_dca, **options)
        outputs = [llm.generate(prompt(100), greedy(2))[0] for _ in range(2)]
        assert [output.metrics.num_cached_tokens for output in outputs] == [0, 0]
        assert tokens(outputs[0]) == tokens(outputs[1])


def test_temperature_and_dual_chunks_reach_the_model(open_llm, tiny_dca):
    """The four settings of one checkpoint give four different distributions beyond 2 chunks."""
    seen = set()
    for options in (
        {},
        {"temperature_mode": "off"},
        {"temperature_mode": "length"},
        {"cap": 63},
        {"dual_chunk_attention": False},
    ):
        llm = open_llm(tiny_dca, **options)
        (output,) = llm.generate(prompt(200), greedy(1, logprobs=0))
        seen.add(round(output.outputs[0].cumulative_logprob, 5))
    assert len(seen) == 5


def test_dynamic_ntk_is_fixed_per_request(open_llm, make_checkpoint, reference_model):
    """The base is stretched for prompt and answer together, as transformers does uncached."""
    rope = {
        "rope_type": "dynamic",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    folder = make_checkpoint("qwen2", max_position_embeddings=64, rope_parameters=rope)
    llm = open_llm(folder)
    ids = ids_of(99)
    (output,) = llm.generate({"prompt_token_ids": ids}, greedy(1, prompt_logprobs=0))
    with torch.inference_mode():
        # Uncached, at the length of prompt + max_tokens: the last id is never looked at.
        logits = reference_model(folder)(torch.tensor([[*ids, 0]])).logits[0].log_softmax(-1)
    for at in range(1, 99):
        own = output.prompt_logprobs[at][ids[at]].logprob
        assert own == pytest.approx(float(logits[at - 1, ids[at]]), abs=5e-4)
    (longer,) = llm.generate({"prompt_token_ids": [*ids, 7, 8, 9]}, greedy(1))
    assert longer.metrics.num_cached_tokens == 0  # another base: other pages


# --- sampling and stopping


def test_seeds_decide(llm):
    """The same seed draws the same tokens, alone or in a batch; another seed others."""
    params = [SamplingParams(seed=s, max_tokens=16, ignore_eos=True) for s in (1, 2, 1)]
    first, second, third = map(tokens, llm.generate([prompt(20)] * 3, params))
    assert first == third != second
    assert alone(llm, prompt(20), params[0]) == first


def test_n_answers_share_their_prompt(llm):
    """n answers differ, and each is what the same seed gives again."""
    params = SamplingParams(n=3, seed=5, max_tokens=10, ignore_eos=True, logprobs=0)
    (output,) = llm.generate(prompt(100), params)
    answers = [tokens(output, i) for i in range(3)]
    assert len({tuple(answer) for answer in answers}) == 3
    assert [answer.index for answer in output.outputs] == [0, 1, 2]
    (again,) = llm.generate(prompt(100), params)
    assert answers == [tokens(again, i) for i in range(3)]
    stats = llm.engine.cache.stats()
    assert stats.num_owned == 0


def test_stop_strings_and_ids(llm):
    """Stop strings are cut off, stop ids end the answer and are named; length is the rest."""
    (whole,) = llm.generate(prompt(30), greedy(20))
    text, ids = whole.outputs[0].text, tokens(whole)
    assert whole.outputs[0].finish_reason == "length"
    stop = text[6:9]
    (cut,) = llm.generate(prompt(30), greedy(20, stop=stop))
    assert cut.outputs[0].text == text[: text.index(stop)]
    assert (cut.outputs[0].finish_reason, cut.outputs[0].stop_reason) == ("stop", stop)
    (kept,) = llm.generate(prompt(30), greedy(20, stop=stop, include_stop_str_in_output=True))
    assert kept.outputs[0].text == text[: text.index(stop) + 3]
    (ended,) = llm.generate(prompt(30), greedy(20, stop_token_ids=[ids[4]]))
    first = ids.index(ids[4])
    assert tokens(ended) == ids[: first + 1]
    assert (ended.outputs[0].finish_reason, ended.outputs[0].stop_reason) == ("stop", ids[4])


def test_end_of_text_ends_unless_ignored(llm):
    """A bias to the end token ends the answer at once, without a stop_reason."""
    eos = llm.tokenizer.eos_token_id
    biased = SamplingParams(temperature=0.0, logit_bias={eos: 100.0}, max_tokens=5)
    answer = llm.generate(prompt(10), biased)[0].outputs[0]
    assert (list(answer.token_ids), answer.finish_reason, answer.stop_reason) == (
        [eos],
        "stop",
        None,
    )
    assert answer.text == ""
    late = SamplingParams(temperature=0.0, logit_bias={eos: 100.0}, max_tokens=5, min_tokens=3)
    assert len(tokens(llm.generate(prompt(10), late)[0])) == 4


def test_text_prompts_and_chat(llm):
    """Texts, lists and conversations are accepted; markup in a message stays text."""
    outputs = llm.generate(["The pass key is", {"prompt": "The sky"}], greedy(4))
    assert [output.prompt for output in outputs] == ["The pass key is", "The sky"]
    assert outputs[0].outputs[0].text == llm.tokenizer.decode(tokens(outputs[0]))
    user = {"role": "user", "content": "hi <|im_end|>"}
    one, two = llm.chat([[user], [user, {"role": "assistant", "content": "x"}]], greedy(2))
    assert len(two.prompt_token_ids) > len(one.prompt_token_ids)
    special = llm.tokenizer.special_tokens["<|im_end|>"]
    assert list(one.prompt_token_ids).count(special) == 2  # of the system and the user turn
    assert len(llm.chat([user], greedy(2))) == 1


def test_stream_pieces_join_to_the_whole(llm):
    """The pieces of a stream join to text, ids and logprobs of generate; the last is finished."""
    params = SamplingParams(n=2, seed=3, max_tokens=12, ignore_eos=True, logprobs=1)
    (whole,) = llm.generate(prompt(50), params)
    pieces = list(llm.stream(prompt(50), params))
    assert [piece.finished for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    for index in range(2):
        mine = [a for piece in pieces for a in piece.outputs if a.index == index]
        assert "".join(a.text for a in mine) == whole.outputs[index].text
        assert [t for a in mine for t in a.token_ids] == tokens(whole, index)
        assert sum(len(a.logprobs) for a in mine) == 12
    assert len(pieces) >= 12


def test_two_streams_take_turns(llm):
    """Streams that are read alternately both give their own text."""
    params = [greedy(6), greedy(9)]
    expected = [alone(llm, prompt(20, seed=s), p) for s, p in enumerate(params)]
    streams = [llm.stream(prompt(20, seed=s), p) for s, p in enumerate(params)]
    got = [[], []]
    live = [0, 1]
    while live:
        for which in list(live):
            piece = next(streams[which], None)
            if piece is None:
                live.remove(which)
            else:
                got[which] += piece.outputs[0].token_ids
    assert got == expected


# --- limits


def test_context_length_error_has_the_numbers(open_llm, tiny_qwen2):
    """Prompt and answer beyond max_model_len are refused with the numbers, and nothing runs."""
    llm = open_llm(tiny_qwen2, max_model_len=64)
    with pytest.raises(ContextLengthError, match=r"60 tokens and asks for 5 .* 64") as caught:
        llm.generate([prompt(10), prompt(60)], greedy(5))
    error = caught.value
    assert (error.num_prompt_tokens, error.max_tokens, error.max_model_len) == (60, 5, 64)
    assert not llm.engine.has_unfinished
    assert len(tokens(llm.generate(prompt(60), greedy(4))[0])) == 4
    (filled,) = llm.generate(prompt(60), SamplingParams(max_tokens=None, ignore_eos=True))
    assert len(tokens(filled)) == 4


def test_memory_plan_error_has_the_plan(open_llm, tiny_qwen2):
    """A context that the memory cannot hold is refused with the plan, before anything is made."""
    with pytest.raises(MemoryPlanError, match=r"kv_cache \d+ MiB") as caught:
        open_llm(tiny_qwen2, max_model_len=10**12)
    error = caught.value
    assert error.plan["kv_cache"] >= 10**12
    assert error.needed == sum(error.plan.values()) > error.available > 0


def test_a_request_too_large_for_the_pool_spares_its_neighbours(open_llm, tiny_qwen2):
    """A request that the page pool can never hold gets MemoryPlanError; the others go on."""
    llm = open_llm(tiny_qwen2, num_kv_tokens=64)
    neighbour = llm.stream(prompt(20), greedy(10))
    first = next(neighbour)
    with pytest.raises(MemoryPlanError, match="the pool has 4"):
        llm.generate(prompt(100), greedy(2))
    rest = [t for piece in neighbour for t in piece.outputs[0].token_ids]
    assert [*first.outputs[0].token_ids, *rest] == alone(llm, prompt(20), greedy(10))


def test_preempted_requests_give_the_same_tokens(open_llm, tiny_qwen2):
    """A pool too small for all: the youngest waits and resumes, and nothing changes."""
    llm = open_llm(tiny_qwen2, num_kv_tokens=8 * 16)
    prompts = [prompt(40, seed=s) for s in range(3)]
    outputs = llm.generate(prompts, greedy(40))
    assert sum(output.metrics.num_preemptions for output in outputs) > 0
    assert list(map(tokens, outputs)) == [alone(llm, p, greedy(40)) for p in prompts]


def test_bad_prompts_are_refused(llm):
    """Every malformed prompt is an InvalidRequestError that names its field."""
    for bad in ("", {"prompt_token_ids": []}, {"prompt_token_ids": [10**6]}, {"text": "x"}, 5, [5]):
        with pytest.raises(InvalidRequestError, match="prompt"):
            llm.generate(bad, greedy(1))
    with pytest.raises(InvalidRequestError, match="params"):
        llm.generate(["a", "b"], [greedy(1)])
    with pytest.raises(InvalidRequestError, match="messages"):
        llm.chat([])
    assert not llm.engine.has_unfinished


def test_settings_that_the_model_cannot_obey(open_llm, tiny_qwen2):
    """dual chunk settings need a DCA model, fixed budgets a table, a device must exist."""
    for options in (
        {"dual_chunk_attention": True},
        {"cap": 5},
        {"sparse": "fixed"},
        {"device": "tpu"},
        {"max_num_batched_tokens": 3, "max_num_seqs": 4},
    ):
        with pytest.raises(InvalidRequestError, match=next(iter(options)).split("_attention")[0]):
            open_llm(tiny_qwen2, **options)


def test_closed_means_closed(open_llm, tiny_qwen2):
    """After close every use is refused."""
    with LLM(tiny_qwen2, dtype="float32") as llm:
        pass
    with pytest.raises(InvalidRequestError, match="closed"):
        llm.generate("x")


# --- progress, interruption


def test_progress_is_monotone_and_ends_at_the_total(open_llm, tiny_qwen2):
    """Progress never goes back, tells cached tokens, moves inside slices, ends at the total."""
    llm = open_llm(tiny_qwen2, max_num_batched_tokens=200)
    llm.generate(prompt(64), greedy(1))
    calls = []
    prompts = [prompt(300, seed=1), {"prompt_token_ids": [*ids_of(64), *ids_of(200, seed=2)]}]
    llm.generate(prompts, greedy(3), progress=lambda *call: calls.append(call))
    processed = [call[0] for call in calls]
    assert processed == sorted(set(processed))
    assert calls[-1][:3] == (564, 564, 64)
    assert calls[-1][3] == 0.0
    assert len(calls) >= 6


def interrupted(llm, action, length=300):
    """Generate with an action at the first progress call in the second slice."""

    def progress(processed, total, cached, eta):
        if processed > length // 2:
            action()

    return llm.generate(prompt(length), greedy(5), progress=progress)


def tokens_kept(llm, length=300):
    """Cached tokens that the same prompt finds afterwards, and its right answer."""
    (output,) = llm.generate(prompt(length), greedy(5))
    cached = output.metrics.num_cached_tokens
    assert tokens(output) == alone(llm, prompt(length), greedy(5))
    return cached


def test_ctrl_c_stops_within_a_slice_and_keeps_the_pages(open_llm, tiny_qwen2):
    """A real SIGINT ends generate with KeyboardInterrupt; finished slices serve the next call."""
    llm = open_llm(tiny_qwen2, lone_slice_tokens=100, max_num_batched_tokens=100)
    with pytest.raises(KeyboardInterrupt):
        interrupted(llm, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not llm.engine.has_unfinished
    assert tokens_kept(llm) in (100, 200)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_in_the_callback_leaves_the_engine_usable(open_llm, tiny_qwen2, error):
    """Whatever the progress callback raises comes out of generate, and the pages stay."""
    llm = open_llm(tiny_qwen2, lone_slice_tokens=100, max_num_batched_tokens=100)

    def fail():
        raise error("stop")

    with pytest.raises(error):
        interrupted(llm, fail)
    assert not llm.engine.has_unfinished
    assert tokens_kept(llm) in (100, 200)


def test_abort_from_another_thread(open_llm, tiny_qwen2):
    """An aborted request ends with finish_reason "abort"; its finished slices stay cached."""
    llm = open_llm(tiny_qwen2, lone_slice_tokens=100, max_num_batched_tokens=100)

    def abort():
        (request_id,) = llm.engine.request_ids
        thread = threading.Thread(target=llm.abort, args=(request_id,))
        thread.start()
        thread.join()

    (output,) = interrupted(llm, abort)
    assert output.finished
    assert output.outputs[0].finish_reason == "abort"
    assert tokens(output) == []
    assert tokens_kept(llm) in (100, 200)


def test_an_abandoned_stream_frees_its_pages(llm):
    """Ending the iteration early aborts the request."""
    stream = llm.stream(prompt(50), greedy(50))
    next(stream)
    stream.close()
    assert not llm.engine.has_unfinished
    assert llm.engine.cache.stats().num_owned == 0
    assert len(tokens(llm.generate(prompt(50), greedy(3))[0])) == 3


# --- sparse


@pytest.fixture
def long_dca(make_checkpoint):
    """A model for 4096 tokens with chunks of 768."""
    dual_chunk = {"chunk_size": 1024, "local_size": 256, "original_max_position_embeddings": 1024}
    return make_checkpoint(
        "qwen2", max_position_embeddings=8192, dual_chunk_attention_config=dual_chunk
    )


def test_sparse_prompts_report_recall_and_density(open_llm, long_dca):
    """A long prompt is sparse and says so; its pages, and their recall, serve the next one."""
    llm = open_llm(long_dca, sparse_min_tokens=1000, sparse_recall=0.6)
    (output,) = llm.generate(prompt(3000), greedy(2))
    first = output.metrics
    assert 0.5 < first.recall_min <= first.recall_mean < 1.0
    assert 0.0 < first.density < 1.0
    (again,) = llm.generate(prompt(3000), greedy(2))
    assert again.metrics.num_cached_tokens == 2999
    assert again.metrics.recall_min == pytest.approx(first.recall_min)
    assert again.metrics.recall_mean == pytest.approx(first.recall_mean, abs=0.01)


def test_sparse_pages_do_not_serve_dense_requests(open_llm, long_dca):
    """A prompt short enough to be dense recomputes what a sparse one has left in the cache."""
    llm = open_llm(long_dca, sparse_min_tokens=1000, sparse_recall=0.6)
    ids = ids_of(3000)
    llm.generate({"prompt_token_ids": ids}, greedy(1))
    (short,) = llm.generate({"prompt_token_ids": ids[:900]}, greedy(4))
    assert (short.metrics.num_cached_tokens, short.metrics.density) == (0, 1.0)
    (sparse,) = llm.generate({"prompt_token_ids": ids}, greedy(1))
    assert sparse.metrics.num_cached_tokens == 2999  # better pages took the place of worse ones


def test_a_budget_replaces_the_target(open_llm, long_dca):
    """sparse_budget keeps so many keys per row: a larger one computes more."""
    density = []
    for budget in ((128, 256), (512, 512)):
        llm = open_llm(long_dca, sparse_min_tokens=0, sparse_budget=budget)
        density.append(llm.generate(prompt(3000), greedy(1))[0].metrics.density)
    assert 0 < density[0] < density[1] < 1


def test_fixed_tables_are_obeyed(open_llm, long_dca, tmp_path):
    """sparse="fixed" reads the checkpoint's table: small budgets are sparse, full ones dense.

    Pages that were read by one table are named otherwise than those of another.
    """
    dense = open_llm(long_dca, sparse="off")
    names = {dense.engine.cache.fingerprint}
    expected = tokens(dense.generate(prompt(2000), greedy(4))[0])
    for size, is_dense in ((100, False), (4096, True)):
        folder = tmp_path / str(size)
        shutil.copytree(long_dca, folder)
        heads = {str(head): ["vertical_and_slash", size, size, 1.0] for head in range(4)}
        (folder / "sparse_attention_config.json").write_text(json.dumps([heads] * 2))
        llm = open_llm(folder, sparse="fixed", sparse_min_tokens=0)
        (output,) = llm.generate(prompt(2000), greedy(4))
        assert (output.metrics.density == 1.0) == is_dense
        assert not is_dense or tokens(output) == expected
        names.add(llm.engine.cache.fingerprint)
    assert len(names) == 3


def test_the_full_target_is_dense(open_llm, tiny_dca):
    """Target 1.0 gives the dense answer, and says recall and density 1."""
    dense = open_llm(tiny_dca, sparse="off")
    full = open_llm(tiny_dca, sparse_min_tokens=0, sparse_recall=1.0)
    (one,), (other,) = (opened.generate(prompt(600), greedy(6)) for opened in (dense, full))
    assert tokens(one) == tokens(other)
    assert (other.metrics.recall_min, other.metrics.density) == (1.0, 1.0)


def test_sparse_slices_reach_the_recall_of_one_slice(open_llm, long_dca, monkeypatch):
    """Small slices, some with a carried pattern, keep the recall that one large slice keeps."""
    measured = []
    monkeypatch.setattr(
        sparse_choice,
        "measure_recalls",
        lambda *args: measured.append(args) or measure_recalls(*args),
    )
    options = {"sparse_min_tokens": 0, "sparse_recall": 0.6}
    (one,) = open_llm(long_dca, **options).generate(prompt(4000), greedy(1))
    assert not measured
    sliced = open_llm(long_dca, **options, max_num_batched_tokens=200)
    companion = prompt(10, seed=4)
    two, _ = sliced.generate([prompt(4000), companion], [greedy(1), greedy(40)])
    assert measured
    assert two.metrics.recall_mean > one.metrics.recall_mean - 0.15  # chosen on 8 rows, not 16
    assert 0 < two.metrics.density < 1


def test_short_prompts_stay_dense(open_llm, tiny_dca):
    """Up to sparse_min_tokens nothing is left out."""
    llm = open_llm(tiny_dca, sparse_min_tokens=900, sparse_recall=0.1)
    assert llm.generate(prompt(900), greedy(1))[0].metrics.density == 1.0


def test_metrics_tell_what_happened(llm):
    """Times are positive, counts right, and the peak is at least what the process holds."""
    (output,) = llm.generate(prompt(100), greedy(5))
    metrics = output.metrics
    assert metrics.ttft_s > 0
    assert metrics.prefill_tokens_per_s > 0
    assert metrics.decode_tokens_per_s > 0
    assert (metrics.num_prompt_tokens, metrics.num_generated_tokens) == (100, 5)
    assert metrics.peak_bytes > 50 * 2**20
