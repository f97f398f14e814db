"""Prompts as vectors: as transformers pools them, in any slices, without a trace in the cache."""

import pytest
import torch

from longreach.config import EngineConfig, SparsePolicy
from longreach.engine.build import Overrides, build_engine
from longreach.engine.pooling import Pooler, as_pooling
from longreach.engine.protocol import PromptRequest
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import ContextLengthError, InvalidRequestError


def build(folder, **settings):
    config = EngineConfig(
        dtype="float32", page_size=16, seed=0, sparse=SparsePolicy(mode="off"), **settings
    )
    return build_engine(folder, config, Overrides(), device=torch.device("cpu"))


def prompt(length, seed=0):
    return torch.randint(0, 300, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def embed(engine, ids, pooling):
    """The vector, read beside an answer that is being written."""
    engine.add_request(
        PromptRequest(
            prompt_token_ids=prompt(20, 9),
            params=SamplingParams(max_tokens=20, ignore_eos=True, temperature=0.0),
        )
    )
    group = engine.admission.admit_embedding(ids, pooling)
    engine.enqueue(group)
    outputs = {}
    while engine.has_unfinished:
        outputs |= {output.request_id: output for output in engine.step()}
        engine.check()
    return outputs[group.request_id]


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("length", [1, 15, 100, 230])
def test_vectors_are_those_of_transformers(tiny_qwen2, reference_model, pooling, length):
    """Mean or last final hidden state over its L2 norm, whatever slices the prompt was read in."""
    ids = prompt(length)
    output = embed(build(tiny_qwen2, max_num_batched_tokens=64), ids, pooling)
    model = reference_model(tiny_qwen2)
    with torch.no_grad():
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0].double()
    wanted = hidden.mean(0) if pooling == "mean" else hidden[-1]
    wanted /= wanted.norm()
    assert output.finished
    assert output.outputs[0].token_ids == ()
    assert torch.tensor(output.embedding).norm().item() == pytest.approx(1.0)
    assert (torch.tensor(output.embedding, dtype=torch.float64) - wanted).abs().max() < 1e-5


def test_no_page_stays(tiny_qwen2):
    """A vector neither uses cached pages nor leaves any, and what was cached before still is."""
    engine = build(tiny_qwen2, max_num_batched_tokens=64)
    embed(engine, prompt(100), "mean")
    before = engine.cache.stats()
    again = embed(engine, prompt(100), "mean")
    assert again.metrics.num_cached_tokens == 0
    assert engine.cache.stats() == before
    assert engine.cache.match_prefix(prompt(100)).num_tokens == 0


def test_too_long_is_refused(tiny_qwen2):
    """A prompt that does not fit is a ContextLengthError at once."""
    with pytest.raises(ContextLengthError):
        build(tiny_qwen2).admission.admit_embedding(prompt(1024), "mean")


def test_rows_that_come_again_count_once():
    """After a preemption a slice may begin before what is summed already."""
    rows = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    pooler = Pooler("mean")
    for start, end in ((0, 6), (0, 4), (4, 10)):
        pooler.add(rows[start:end], start)
    wanted = torch.nn.functional.normalize(rows.double().mean(0), dim=0)
    assert pooler.vector() == pytest.approx(wanted.tolist())


def test_poolings_have_names():
    """Any other pooling is refused by name."""
    with pytest.raises(InvalidRequestError, match="pooling"):
        as_pooling("max")
