"""What keys and values are stored in: as computed, or half as wide where only the CPU widened."""

import pytest
import torch

from longreach import LLM, InvalidRequestError, SamplingParams
from longreach.config import EngineConfig, ModelConfig, RopeConfig
from longreach.models.loader import resolve_kv_dtype

GREEDY = SamplingParams(temperature=0.0, max_tokens=6, ignore_eos=True)


def model(stored):
    return ModelConfig(
        architecture="Qwen2ForCausalLM", family="qwen2", hidden_size=8, intermediate_size=8,
        num_layers=1, num_heads=1, num_kv_heads=1, head_dim=8, vocab_size=8,
        max_position_embeddings=8, rope=RopeConfig(), torch_dtype=stored,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "stored", "compute", "expected"),
    [
        ({}, "bfloat16", torch.float32, torch.bfloat16),
        ({}, "bfloat16", torch.bfloat16, torch.bfloat16),
        ({}, "float32", torch.float32, torch.float32),
        ({"dtype": "float32"}, "bfloat16", torch.float32, torch.float32),
        ({"kv_cache_dtype": "bfloat16"}, "float32", torch.float32, torch.bfloat16),
        ({"kv_cache_dtype": "float32"}, "bfloat16", torch.bfloat16, torch.float32),
    ],
)
def test_auto_is_narrow_only_where_the_cpu_alone_widened(settings, stored, compute, expected):
    """Who asks for float32 gets it; a bf16 checkpoint on a CPU without bf16 keeps its pages."""
    assert resolve_kv_dtype(EngineConfig(**settings), model(stored), compute) == expected


def test_other_dtypes_are_refused():
    """A dtype that no twin stores is an error that names the choices."""
    with pytest.raises(InvalidRequestError, match=r"kv_cache_dtype.*auto, bfloat16, float32"):
        EngineConfig(kv_cache_dtype="fp8")


def test_narrow_pages_serve_a_second_request_as_a_fresh_one(tiny_qwen2):
    """With bf16 pages under float32, reused rows give the tokens that recomputed rows give."""
    ids = torch.randint(0, 300, (150,), generator=torch.Generator().manual_seed(5)).tolist()
    options = {"dtype": "float32", "kv_cache_dtype": "bfloat16", "page_size": 16, "sparse": "off"}
    with LLM(tiny_qwen2, **options) as llm:
        assert llm.engine.cache.pool.k[0].dtype == torch.bfloat16
        first, again = (llm.generate({"prompt_token_ids": ids}, GREEDY)[0] for _ in range(2))
    assert again.metrics.num_cached_tokens > 0
    assert first.outputs[0].token_ids == again.outputs[0].token_ids
