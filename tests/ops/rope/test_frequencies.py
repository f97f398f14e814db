import pytest
import torch
from transformers import Qwen2Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from longreach.config import RopeConfig
from longreach.ops.rope import inverse_frequencies

TRAINED = 4096


def theirs(kind, dim, seq_len=None, **parameters):
    config = Qwen2Config(
        hidden_size=4 * dim, num_attention_heads=4, num_key_value_heads=2, head_dim=dim,
        max_position_embeddings=TRAINED,
        rope_parameters={"rope_type": kind, "rope_theta": 50000.0, **parameters},
    )  # fmt: skip
    return ROPE_INIT_FUNCTIONS[kind](config, device="cpu", seq_len=seq_len)


@pytest.mark.parametrize("dim", [32, 64, 80, 128])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("linear", {"factor": 4.0}),
        ("yarn", {"factor": 4.0}),
        ("yarn", {"factor": 2.5, "beta_fast": 16.0, "beta_slow": 2.0}),
        ("yarn", {"factor": 8.0, "attention_factor": 1.25}),
        ("yarn", {"factor": 8.0, "mscale": 0.7, "mscale_all_dim": 0.4}),
        ("yarn", {"factor": 4.0, "truncate": False}),
    ],
)
def test_scaled_frequencies_are_transformers(kind, options, dim):
    """linear and yarn give transformers' frequencies and attention factor."""
    extra = {"original_max_position_embeddings": TRAINED} if kind == "yarn" else {}
    want, want_factor = theirs(kind, dim, **options, **extra)
    rope = RopeConfig(type=kind, theta=50000.0, original_max_position_embeddings=TRAINED, **options)
    found, factor = inverse_frequencies(rope, dim)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), want, rtol=2e-6, atol=0)
    assert factor == pytest.approx(want_factor)


@pytest.mark.parametrize("seq_len", [1, TRAINED, TRAINED + 1, 3 * TRAINED, 50 * TRAINED])
def test_dynamic_frequencies_are_transformers(seq_len):
    """The dynamic base is transformers' for that length, and plain up to the trained one."""
    rope = RopeConfig(
        type="dynamic", theta=50000.0, factor=2.0, original_max_position_embeddings=TRAINED
    )
    found, factor = inverse_frequencies(rope, 64, seq_len)
    want, want_factor = theirs("dynamic", 64, seq_len, factor=2.0)
    torch.testing.assert_close(found.float(), want, rtol=2e-6, atol=0)
    assert factor == want_factor == 1.0
    if seq_len <= TRAINED:
        plain, _ = inverse_frequencies(RopeConfig(theta=50000.0), 64)
        assert torch.equal(found, plain)


def test_default_frequencies_by_formula():
    """theta^(-2x / H), and a factor of 1."""
    found, factor = inverse_frequencies(RopeConfig(theta=100.0), 4)
    assert found.tolist() == pytest.approx([1.0, 0.1])
    assert factor == 1.0


@pytest.mark.parametrize("dim", [0, 1, 7])
def test_an_odd_head_has_no_pairs(dim):
    """Rotary embedding turns pairs of dimensions: odd sizes are refused."""
    with pytest.raises(ValueError, match="head_dim"):
        inverse_frequencies(RopeConfig(), dim)
