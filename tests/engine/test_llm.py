"""The Python API on tiny random models, against transformers and against itself."""

import pytest
import torch

from longreach import LLM, SamplingParams

GREEDY = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)


@pytest.fixture
def llm(tiny_qwen2):
    with LLM(tiny_qwen2, dtype="float32") as opened:
        yield opened


def prompt_ids(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 300, (length,), generator=generator).tolist()


def continued_by_transformers(model, ids, num_tokens):
    with torch.inference_mode():
        out = model.generate(
            torch.tensor([ids]), max_new_tokens=num_tokens, min_new_tokens=num_tokens, do_sample=False
        )
    return out[0, len(ids) :].tolist()


@pytest.mark.parametrize("length", [1, 7, 127, 128, 129, 300])
def test_greedy_equals_transformers(llm, tiny_qwen2, reference_model, length):
    """Greedy decoding gives the tokens that transformers gives."""
    ids = prompt_ids(length)
    (output,) = llm.generate({"prompt_token_ids": ids}, GREEDY)
    expected = continued_by_transformers(reference_model(tiny_qwen2), ids, 12)
    assert list(output.outputs[0].token_ids) == expected
