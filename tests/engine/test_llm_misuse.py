"""The Python API in hands that hold it wrong: typed errors, unharmed neighbours, no page lost."""

import pytest

from longreach import LLM, LongreachError, SamplingParams
from longreach.engine.protocol import PromptRequest


def greedy(max_tokens=6, **others):
    return SamplingParams(temperature=0.0, max_tokens=max_tokens, ignore_eos=True, **others)


@pytest.fixture
def llm(tiny_qwen2):
    with LLM(tiny_qwen2, dtype="float32", page_size=16, seed=0) as llm:
        yield llm
        assert not llm.engine.has_unfinished
        llm.engine.check()
        assert llm.engine.cache.stats().num_owned == 0


def tokens(output):
    return list(output.outputs[0].token_ids)


@pytest.mark.parametrize("n", [1, 3])
def test_a_request_without_a_token_to_draw_ends_alone(llm, n):
    """A penalty that makes logits infinite ends its own request; its neighbours go on."""
    endless = {"temperature": 1.0, "n": n, "repetition_penalty": 1e-300}
    spoilt = SamplingParams(max_tokens=6, **endless)
    wanted = tokens(llm.generate("The sky is", greedy())[0])
    requests = [
        PromptRequest(prompt="The sky is", params=greedy()),
        PromptRequest(prompt="The grass is", params=spoilt),
    ]
    pieces = {0: [], 1: []}
    for output in llm.generate_requests(requests):
        pieces[int(output.prompt == "The grass is")].append(output)
    assert [token for piece in pieces[0] for token in tokens(piece)] == wanted
    assert pieces[0][-1].error is None
    assert isinstance(pieces[1][-1].error, LongreachError)
    with pytest.raises(LongreachError, match="the best logit is inf"):
        llm.generate(["The sky is", "The grass is"], [greedy(), spoilt])
