import pickle

import pytest

from longreach.config import (
    DualChunkConfig,
    EngineConfig,
    HeadBudget,
    ModelConfig,
    RopeConfig,
    SparsePolicy,
    SparseTable,
)
from longreach.errors import ConfigError, InvalidRequestError


def model(**overrides):
    settings = {
        "architecture": "Qwen2ForCausalLM",
        "family": "qwen2",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 16,
        "vocab_size": 320,
        "max_position_embeddings": 1024,
        "rope": RopeConfig(),
    }
    return ModelConfig(**settings | overrides)


def table(layers, heads):
    budget = HeadBudget(vertical_size=1000, slash_size=6096)
    return SparseTable(heads=((budget,) * heads,) * layers)


def test_dual_chunk_lengths():
    """chunk_len is chunk_size - local_size; the query cap is chunk_size unless set."""
    qwen = DualChunkConfig(
        chunk_size=262144, local_size=8192, original_max_position_embeddings=262144
    )
    assert (qwen.chunk_len, qwen.query_cap) == (253952, 262144)
    assert DualChunkConfig(chunk_size=8, local_size=3, cap=7).query_cap == 7


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"chunk_size": 1}, "chunk_size is 1"),
        ({"chunk_size": 64, "local_size": 64}, "local_size is 64: expected less than chunk_size"),
        ({"local_size": -1}, "local_size is -1"),
        ({"chunk_size": 8, "local_size": 3, "cap": 9}, r"cap is 9: .*\(4\) and chunk_size \(8\)"),
        ({"chunk_size": 8, "local_size": 3, "cap": 3}, "cap is 3"),
        ({"chunk_size": 8.0}, "chunk_size is 8.0"),
    ],
)
def test_bad_dual_chunk_settings_are_named(settings, named):
    """Chunks that make no sense raise ConfigError with the field and its value."""
    with pytest.raises(ConfigError, match=named):
        DualChunkConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"type": "longrope"}, "rope type is 'longrope'"),
        ({"theta": 0}, "rope_theta is 0"),
        ({"type": "linear", "factor": 0.5}, "factor is 0.5"),
        ({"type": "yarn", "factor": 4.0}, "original_max_position_embeddings is 0"),
        ({"factor": float("nan")}, "factor is nan"),
        ({"beta_fast": None}, "beta_fast is None"),
        ({"mscale": -1.0}, "mscale is -1.0"),
        ({"truncate": 1}, "truncate is 1"),
    ],
)
def test_bad_rope_settings_are_named(settings, named):
    """Rotary settings out of range raise ConfigError with the field and its value."""
    with pytest.raises(ConfigError, match=named):
        RopeConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_layers": 0}, "num_layers is 0"),
        ({"num_kv_heads": 3}, r"num_kv_heads is 3: expected a divisor of num_heads \(4\)"),
        ({"head_dim": 15}, "head_dim is 15"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ({"family": "llama"}, "family is 'llama'"),
        ({"vocab_size": True}, "vocab_size is True"),
        ({"sparse_table": table(3, 4)}, "3 layers x 4 heads.*2 layers x 4 heads"),
    ],
)
def test_bad_model_settings_are_named(settings, named):
    """A model that does not fit together raises ConfigError with both sides."""
    with pytest.raises(ConfigError, match=named):
        model(**settings)


def test_a_table_has_as_many_heads_in_every_layer():
    """Layers of unequal width are refused, and so is an empty table."""
    budget = HeadBudget(vertical_size=1, slash_size=1)
    for heads in ((), ((budget,), (budget, budget))):
        with pytest.raises(ConfigError, match="sparse_attention_config"):
            SparseTable(heads=heads)


def test_a_model_config_counts_its_cache():
    """KV values per token are 2 (k, v) x layers x kv heads x head_dim; configs can be pickled."""
    config = model(raw={"a": 1})
    assert config.kv_values_per_token == 2 * 2 * 2 * 16
    assert config.group_size == 2
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"dtype": "int4"}, "dtype"),
        ({"quantization": "awq"}, "quantization"),
        ({"max_model_len": 0}, "max_model_len"),
        ({"max_model_len": "long"}, "max_model_len"),
        ({"max_num_batched_tokens": 0}, "max_num_batched_tokens"),
        ({"lone_slice_tokens": -1}, "lone_slice_tokens"),
        ({"max_num_seqs": 1.5}, "max_num_seqs"),
        ({"page_size": 0}, "page_size"),
        ({"enable_prefix_caching": "yes"}, "enable_prefix_caching"),
        ({"temperature_mode": "fast"}, "temperature_mode"),
        ({"strict_config": 1}, "strict_config"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_bad_engine_options_are_named(settings, field):
    """An option out of range raises a ValueError that names it, its value and the range."""
    with pytest.raises(InvalidRequestError, match="expected") as caught:
        EngineConfig(**settings)
    assert caught.value.field == field
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"mode": "dense"}, "sparse"),
        ({"recall": 0}, "sparse_recall"),
        ({"recall": float("nan")}, "sparse_recall"),
        ({"min_tokens": -1}, "sparse_min_tokens"),
        ({"budget": (1,)}, "sparse_budget"),
        ({"budget": (1, -1)}, "sparse_budget"),
        ({"budget": [1, 2]}, "sparse_budget"),
        ({"mode": "off", "budget": (1, 2)}, "sparse_budget"),
    ],
)
def test_bad_sparse_options_are_named(settings, field):
    """Sparse options are checked under the names that the user gave them."""
    with pytest.raises(InvalidRequestError, match="expected") as caught:
        SparsePolicy(**settings)
    assert caught.value.field == field
