"""The step loop itself: who runs with whom, what a failure or a stop leaves behind."""

import threading

import pytest
import torch

from longreach.config import EngineConfig, SparsePolicy
from longreach.engine.build import Overrides, build_engine
from longreach.engine.protocol import PromptRequest, TextEngine
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import ContextLengthError, InvalidRequestError, MemoryPlanError


def build(folder, *, num_kv_tokens="auto", **settings):
    config = EngineConfig(
        **{"dtype": "float32", "page_size": 16, "seed": 0, "sparse": SparsePolicy(mode="off")}
        | settings
    )
    overrides = Overrides(num_kv_tokens=num_kv_tokens)
    return build_engine(folder, config, overrides, device=torch.device("cpu"))


@pytest.fixture
def engine(tiny_qwen2):
    return build(tiny_qwen2, max_num_batched_tokens=64, max_num_seqs=4)


def request(length=40, seed=0, max_tokens=5, request_id=None, **params):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 300, (length,), generator=generator).tolist()
    sampling = {"temperature": 0.0, "ignore_eos": True, "max_tokens": max_tokens} | params
    return PromptRequest(
        prompt_token_ids=ids, params=SamplingParams(**sampling), request_id=request_id
    )


def run(engine, **options):
    """Every output until nothing is left, by request id; the laws hold after each step."""
    outputs = {}
    while engine.has_unfinished:
        for output in engine.step(**options):
            outputs.setdefault(output.request_id, []).append(output)
        engine.check()
    return outputs


def ids_of(outputs):
    return [token for output in outputs for token in output.outputs[0].token_ids]


def test_an_answer_goes_on_while_a_long_prompt_is_read(engine):
    """With another request decoding, a long prompt is read in bounded slices between its tokens."""
    engine.add_request(request(20, max_tokens=30, request_id="first"))
    assert ids_of(engine.step())
    engine.add_request(request(600, seed=1, request_id="long"))
    gaps = []
    while engine.progress("long") is None or engine.progress("long").read < 600:
        before = engine.progress("long")
        outputs = engine.step()
        after = engine.progress("long")
        gaps.append(after.read - (before.read if before else 0))
        assert any(output.request_id == "first" for output in outputs)
        engine.check()
    assert max(gaps) == 63  # 64 rows, one of them a decode
    run(engine)


def test_new_requests_join_a_running_batch(engine):
    """A request added between steps answers as it would alone."""
    engine.add_request(request(30, max_tokens=12, request_id="a"))
    first = [output for _ in range(4) for output in engine.step()]
    engine.add_request(request(50, seed=2, max_tokens=6, request_id="b"))
    rest = run(engine)
    together = {"a": ids_of([*first, *rest["a"]]), "b": ids_of(rest["b"])}
    for name, one in (("a", request(30, max_tokens=12)), ("b", request(50, seed=2, max_tokens=6))):
        engine.cache.forget_unused()
        request_id = engine.add_request(one)
        assert ids_of(run(engine)[request_id]) == together[name]


def test_identical_prompts_are_read_once(engine):
    """A second request with the same prompt waits for the first one's pages and reuses them."""
    for name in ("a", "b"):
        engine.add_request(request(100, request_id=name))
    outputs = run(engine)
    assert outputs["a"][-1].metrics.num_cached_tokens == 0
    assert outputs["b"][-1].metrics.num_cached_tokens == 96
    assert ids_of(outputs["a"]) == ids_of(outputs["b"])


def test_a_whole_output_comes_once(engine):
    """Without stream there is one output, at the end, that holds everything."""
    engine.add_request(request(request_id="a", n=2, temperature=1.0, seed=1), stream=False)
    (output,) = run(engine)["a"]
    assert output.finished
    assert [len(answer.token_ids) for answer in output.outputs] == [5, 5]


def test_a_failing_step_ends_those_that_were_read(engine, monkeypatch):
    """An error while a prompt is read ends that request with the error, and spares the others."""
    engine.add_request(request(20, max_tokens=8, request_id="good"))
    first = engine.step()
    engine.add_request(request(30, seed=1, request_id="bad"))
    whole_run = engine.runner.run

    def fail(work, **options):
        if any(len(piece.token_ids) > 1 for piece in work):
            raise ArithmeticError("broken")
        return whole_run(work, **options)

    monkeypatch.setattr(engine.runner, "run", fail)
    outputs = run(engine)
    (bad,) = outputs["bad"]
    assert bad.finished
    assert bad.outputs[0].finish_reason == "error"
    assert isinstance(bad.error, ArithmeticError)
    assert len(ids_of([*first, *outputs["good"]])) == 8
    assert outputs["good"][-1].error is None
    assert engine.cache.stats().num_owned == 0


def test_a_stopped_step_counts_for_nothing(engine):
    """should_stop between two layers drops the step; the next one does it all again."""
    engine.add_request(request(40, request_id="a"))
    assert engine.step(should_stop=lambda: True) == []
    assert engine.progress("a").read == 0
    stopped = ids_of(run(engine)["a"])
    engine.cache.forget_unused()
    engine.add_request(request(40, request_id="b"))
    assert stopped == ids_of(run(engine)["b"])


def test_abort_in_each_state(engine):
    """A request can be aborted before its first step, while it is read, and while it answers."""
    for steps in range(5):
        engine.add_request(request(150, seed=steps, request_id="a"))
        engine.add_request(request(20, seed=9, request_id="b"))
        seen = [output for _ in range(steps) for output in engine.step()]
        engine.abort("a")
        outputs = run(engine)
        assert outputs["a"][-1].outputs[0].finish_reason == "abort"
        mine = [output for output in seen if output.request_id == "b"]
        assert len(ids_of([*mine, *outputs.get("b", [])])) == 5
        assert engine.cache.stats().num_owned == 0
    engine.abort("nobody")
    assert engine.step() == []


def test_an_abort_between_layers_stops_the_step(engine):
    """When every request of a step is aborted, its remaining layers are not run."""
    layers = []

    def on_progress():
        layers.append(engine.progress("a"))
        engine.abort("a")

    engine.add_request(request(60, request_id="a"))
    (output,) = engine.step(on_progress=on_progress)
    assert output.outputs[0].finish_reason == "abort"
    assert len(layers) == 2  # the first layer, and the end of the step
    assert output.metrics.num_generated_tokens == 0


def test_an_abort_that_comes_before_the_request_is_seen(engine):
    """A request that is added and aborted while a step runs ends without having been read."""
    engine.add_request(request(60, request_id="a"))
    once = iter([True])

    def on_progress():
        if next(once, False):
            engine.add_request(request(500, seed=1, request_id="b"))
            engine.abort("b")

    engine.step(on_progress=on_progress)
    (output,) = run(engine)["b"]
    assert output.outputs[0].finish_reason == "abort"
    assert output.metrics.num_generated_tokens == 0


def test_the_ids_of_answers_are_in_use_too(engine):
    """A request cannot take the id under which another one's second answer runs."""
    engine.add_request(request(30, request_id="a", n=2, temperature=1.0))
    with pytest.raises(InvalidRequestError, match="not in use"):
        engine.add_request(request(30, request_id="a/1"))
    assert engine.request_ids == ["a"]
    answers = [answer for output in run(engine)["a"] for answer in output.outputs]
    assert {answer.index for answer in answers if answer.finish_reason} == {0, 1}
    engine.add_request(request(30, request_id="a/1"))
    run(engine)


def test_cancelled_requests_are_forgotten(engine):
    """cancel gives the pages back at once and says nothing more, even of requests still queued."""
    engine.add_request(request(100, request_id="a"))
    engine.step()
    engine.add_request(request(10, request_id="b"))
    engine.cancel(["a", "b", "c"])
    assert not engine.has_unfinished
    assert engine.step() == []
    assert engine.cache.stats().num_owned == 0
    assert engine.cache.stats().num_cached > 0


def test_requests_come_from_any_thread(engine):
    """Requests added from several threads while another one steps are all answered."""
    ids = []

    def add(seed):
        mine = (request(15 + seed, seed=10 * seed + more, max_tokens=3) for more in range(3))
        ids.extend(engine.add_request(one) for one in mine)

    threads = [threading.Thread(target=add, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    outputs = run(engine)
    for thread in threads:
        thread.join()
    for request_id, more in run(engine).items():
        outputs.setdefault(request_id, []).extend(more)
    assert len(set(ids)) == 9
    assert {request_id: len(ids_of(outputs[request_id])) for request_id in ids} == dict.fromkeys(
        ids, 3
    )


def test_refused_requests_change_nothing(engine):
    """Too long, an id in use, an unknown token: the error comes at once and nothing is queued."""
    engine.add_request(request(request_id="a"))
    for bad, error in (
        (request(2000), ContextLengthError),
        (request(request_id="a"), InvalidRequestError),
        (request(stop_token_ids=[5000]), InvalidRequestError),
    ):
        with pytest.raises(error):
            engine.add_request(bad)
    assert engine.request_ids == ["a"]
    engine.step()
    with pytest.raises(InvalidRequestError, match="not in use"):
        engine.add_request(request(request_id="a"))
    assert len(run(engine)) == 1


def test_more_than_the_pool_holds_is_an_answer(tiny_qwen2):
    """A prompt that the pool can never hold ends with MemoryPlanError as its output."""
    engine = build(tiny_qwen2, num_kv_tokens=64)
    engine.add_request(request(100, request_id="big"))
    engine.add_request(request(20, request_id="small"))
    outputs = run(engine)
    assert isinstance(outputs["big"][-1].error, MemoryPlanError)
    assert len(ids_of(outputs["small"])) == 5


def test_metrics_of_what_runs(engine):
    """While a request runs its metrics can be read; afterwards they are in its output."""
    engine.add_request(request(40, request_id="a"))
    engine.step()
    assert engine.metrics("a").num_prompt_tokens == 40
    run(engine)
    assert engine.metrics("a") is None


def test_a_model_without_tokenizer_takes_ids(make_checkpoint, tmp_path):
    """A checkpoint without tokenizer files answers ids with ids, and refuses texts."""
    for file in make_checkpoint("qwen2").iterdir():
        if not file.name.startswith("tokenizer"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    engine = build(tmp_path)
    request_id = engine.add_request(request(20, logprobs=1))
    outputs = run(engine)[request_id]
    assert len(ids_of(outputs)) == 5
    assert all(output.outputs[0].text == "" for output in outputs)
    with pytest.raises(InvalidRequestError, match="no tokenizer"):
        engine.add_request(PromptRequest(prompt="text", params=SamplingParams()))


def test_llm_is_a_text_engine():
    """LLM has what higher floors ask of an engine."""
    from longreach import LLM

    assert issubclass(LLM, TextEngine)
