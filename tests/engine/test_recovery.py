"""Out of memory in a step: once again with half the rows, then one request ends, never others."""

import pytest
import torch

from longreach.engine.recovery import is_out_of_memory
from longreach.errors import MemoryPlanError
from support.async_engine import build, request


@pytest.fixture
def engine(tiny_qwen2):
    return build(tiny_qwen2, max_num_batched_tokens=64, max_num_seqs=4)


def run(engine):
    outputs = {}
    while engine.has_unfinished:
        for output in engine.step():
            outputs.setdefault(output.request_id, []).append(output)
        engine.check()
    return outputs


def ids_of(outputs):
    return [token for output in outputs for token in output.outputs[0].token_ids]


def fail_above(engine, monkeypatch, rows, error):
    """Steps of more rows than that fail after their layers; the lengths of all slices tried."""
    whole_run, tried = engine.runner.run, []

    def run_or_fail(work, **options):
        tried.append([len(piece.token_ids) for piece in work])
        hidden = whole_run(work, **options)
        if sum(tried[-1]) > rows:
            raise error
        return hidden

    monkeypatch.setattr(engine.runner, "run", run_or_fail)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_half_the_rows_are_tried(engine, monkeypatch, error):
    """A prompt whose slice was too long is read in slices of half its length; equal answers."""
    engine.add_request(request(100, request_id="a"))
    wanted = ids_of(run(engine)["a"])
    engine.cache.forget_unused()
    tried = fail_above(engine, monkeypatch, 60, error)
    engine.add_request(request(100, request_id="a"))
    outputs = run(engine)["a"]
    assert ids_of(outputs) == wanted
    assert [sum(lengths) for lengths in tried if sum(lengths) > 1] == [100, 50, 50]


def test_the_second_time_one_request_ends(engine, monkeypatch):
    """A MemoryPlanError with numbers for the longest slice; all others answer as alone."""
    names = {"decodes": (20, 30), "short": (8, 5), "long": (500, 5)}
    wanted = {}
    for seed, (name, (length, count)) in enumerate(names.items()):
        engine.add_request(request(length, seed=seed, max_tokens=count, request_id=name))
        wanted[name] = ids_of(run(engine)[name])
    engine.cache.forget_unused()
    engine.add_request(request(20, seed=0, max_tokens=30, request_id="decodes"))
    first = engine.step()
    fail_above(engine, monkeypatch, 12, MemoryError("no room"))
    for seed, name in ((1, "short"), (2, "long")):
        engine.add_request(request(names[name][0], seed=seed, request_id=name))
    outputs = run(engine)
    error = outputs["long"][-1].error
    assert isinstance(error, MemoryPlanError)
    assert error.needed > 0
    assert error.available > 0
    assert "no room" in str(error)
    assert outputs["long"][-1].outputs[0].finish_reason == "error"
    assert ids_of([*first, *outputs["decodes"]]) == wanted["decodes"]
    assert ids_of(outputs["short"]) == wanted["short"]
    assert engine.cache.stats().num_owned == 0


def test_when_nobody_reads_the_youngest_ends(engine, monkeypatch):
    """A step of decodes alone is tried again once; then its youngest request ends."""
    for seed, name in enumerate(("old", "young")):
        engine.add_request(request(20, seed=seed, max_tokens=20, request_id=name))
    seen = [*engine.step(), *engine.step()]
    fail_above(engine, monkeypatch, 1, MemoryError())
    outputs = run(engine)
    assert isinstance(outputs["young"][-1].error, MemoryPlanError)
    mine = [output for output in seen if output.request_id == "old"]
    assert len(ids_of([*mine, *outputs["old"]])) == 20


def test_a_decode_says_nothing_of_slices(engine, monkeypatch):
    """One row that found no memory, once, leaves the prompt's slices as long as they were."""
    engine.add_request(request(20, max_tokens=20, request_id="a"))
    engine.step()
    (running,) = engine.scheduler.running
    failures = [MemoryError()]
    whole_run = engine.runner.run

    def fail_once(work, **options):
        if failures:
            raise failures.pop()
        return whole_run(work, **options)

    monkeypatch.setattr(engine.runner, "run", fail_once)
    run(engine)
    assert (running.num_memory_failures, running.max_slice_tokens) == (1, None)


def test_buffers_are_given_back(engine, monkeypatch):
    """Before it is tried again, the scratch that is kept between steps is released."""
    engine.add_request(request(300, request_id="a"))
    engine.step()
    scratch = engine.runner.decoder.scratch
    held = scratch.num_bytes
    sizes = []
    release = scratch.release
    monkeypatch.setattr(scratch, "release", lambda: release() or sizes.append(scratch.num_bytes))
    fail_above(engine, monkeypatch, 150, MemoryError())
    engine.add_request(request(200, seed=1, request_id="b"))
    engine.cancel(["a"])
    outputs = run(engine)
    assert len(ids_of(outputs["b"])) == 5
    assert sizes
    assert sizes[0] < held


def test_other_errors_are_no_lack_of_memory():
    """A shape that does not fit is a fault, not a lack of memory."""
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
