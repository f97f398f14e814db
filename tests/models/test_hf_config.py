import copy
import logging
from dataclasses import replace

import pytest

from longreach.config import DualChunkConfig, HeadBudget, RopeConfig, SparseTable
from longreach.errors import ConfigError, UnsupportedModelError
from longreach.models.hf import config_from_hf, config_to_hf, table_to_hf

COMMON = {
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1",
    "use_cache": True,
    "use_sliding_window": False,
}
QWEN2 = COMMON | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
QWEN3 = COMMON | {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "attention_bias": False,
    "head_dim": 128,
    "rope_scaling": None,
    "sliding_window": None,
    "transformers_version": "4.51.0",
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000,
    "vocab_size": 151936,
}
REAL = {
    "Qwen2-7B": QWEN2
    | {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "max_position_embeddings": 131072,
        "max_window_layers": 28,
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 131072,
        "tie_word_embeddings": False,
        "vocab_size": 152064,
        "eos_token_id": 151643,
    },
    "Qwen2.5-0.5B-Instruct": QWEN2
    | {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "max_position_embeddings": 32768,
        "max_window_layers": 21,
        "num_attention_heads": 14,
        "num_hidden_layers": 24,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": True,
        "vocab_size": 151936,
    },
    "Qwen2.5-1.5B": QWEN2
    | {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "max_position_embeddings": 131072,
        "max_window_layers": 28,
        "num_attention_heads": 12,
        "num_hidden_layers": 28,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 131072,
        "tie_word_embeddings": True,
        "use_mrope": False,
        "vocab_size": 151936,
    },
    "Qwen2.5-7B-Instruct-1M": QWEN2
    | {
        "dual_chunk_attention_config": {
            "chunk_size": 262144,
            "local_size": 8192,
            "original_max_position_embeddings": 262144,
        },
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "max_position_embeddings": 1010000,
        "max_window_layers": 28,
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000000.0,
        "sliding_window": 1010000,
        "tie_word_embeddings": False,
        "vocab_size": 152064,
    },
    "Qwen2.5-14B-Instruct-1M": QWEN2
    | {
        "dual_chunk_attention_config": {
            "chunk_size": 262144,
            "local_size": 8192,
            "original_max_position_embeddings": 262144,
        },
        "hidden_size": 5120,
        "intermediate_size": 13824,
        "max_position_embeddings": 1010000,
        "max_window_layers": 48,
        "num_attention_heads": 40,
        "num_hidden_layers": 48,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000000.0,
        "sliding_window": 1010000,
        "tie_word_embeddings": False,
        "vocab_size": 152064,
    },
    "Qwen3-0.6B": QWEN3
    | {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "max_window_layers": 28,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "Qwen3-8B": QWEN3
    | {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "max_window_layers": 36,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
    "written by transformers 5": {
        **{k: v for k, v in COMMON.items() if k != "torch_dtype"},
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "dtype": "bfloat16",
        "head_dim": 64,
        "hidden_size": 256,
        "intermediate_size": 512,
        "layer_types": ["full_attention", "full_attention"],
        "max_position_embeddings": 4096,
        "max_window_layers": 2,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": None,
        "rms_norm_eps": 1e-06,
        "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
        "sliding_window": None,
        "tie_word_embeddings": True,
        "vocab_size": 1000,
        "eos_token_id": [7, 9],
    },
}
TINY = REAL["written by transformers 5"]


@pytest.mark.parametrize("name", REAL)
def test_no_key_of_a_real_config_is_unknown(name, caplog):
    """Every key of the published configs is read or known to be inert: strict mode accepts it."""
    caplog.set_level(logging.WARNING)
    config_from_hf(REAL[name], strict=True)
    assert caplog.records == []


@pytest.mark.parametrize("name", REAL)
def test_a_config_survives_the_round_trip(name):
    """config.json -> ours -> config.json: every key equal, nothing left over."""
    raw = REAL[name]
    config = config_from_hf(copy.deepcopy(raw))
    assert config_to_hf(config) == raw
    rewritten = config_to_hf(replace(config, raw={}))
    assert config_from_hf(rewritten) == config


def test_the_million_token_models_are_read():
    """Qwen2.5-7B-Instruct-1M: sizes, dual chunk settings, eps and rotary base as published."""
    config = config_from_hf(REAL["Qwen2.5-7B-Instruct-1M"])
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (28, 4, 128)
    assert config.dual_chunk == DualChunkConfig(
        chunk_size=262144, local_size=8192, original_max_position_embeddings=262144
    )
    assert config.rope == RopeConfig(theta=1e7)
    assert (config.rms_norm_eps, config.eos_token_ids) == (1e-5, (151645,))
    assert (config.qkv_bias, config.o_bias, config.qk_norm) == (True, False, False)


def test_a_changed_field_is_written_and_the_rest_kept():
    """A field changed after reading shows in the exported config; other keys stay as they were."""
    raw = REAL["Qwen2.5-7B-Instruct-1M"]
    config = config_from_hf(raw)
    longer = replace(config, max_position_embeddings=2_000_000, torch_dtype="float32")
    want = raw | {"max_position_embeddings": 2_000_000, "torch_dtype": "float32"}
    assert config_to_hf(longer) == want
    plain = config_to_hf(replace(config, dual_chunk=None))
    assert plain == {k: v for k, v in raw.items() if k != "dual_chunk_attention_config"}


def test_a_changed_rope_replaces_the_old_spelling():
    """Changing the rope of a config in the new spelling leaves one description of it."""
    config = config_from_hf(TINY)
    rope = RopeConfig(type="yarn", theta=1e6, factor=4.0, original_max_position_embeddings=1024)
    written = config_to_hf(replace(config, rope=rope))
    assert "rope_parameters" not in written
    assert config_from_hf(written).rope == rope


ROPES = {
    "none": ({"rope_theta": 5e5}, RopeConfig(theta=5e5)),
    "old default": (
        {"rope_theta": 5e5, "rope_scaling": {"type": "default"}},
        RopeConfig(theta=5e5),
    ),
    "old linear": (
        {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}},
        RopeConfig(type="linear", theta=5e5, factor=2.0),
    ),
    "old dynamic": (
        {"rope_theta": 5e5, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
        RopeConfig(
            type="dynamic", theta=5e5, factor=2.0, original_max_position_embeddings=4096
        ),
    ),
    "old yarn": (
        {
            "rope_theta": 5e5,
            "rope_scaling": {
                "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024
            },
        },
        RopeConfig(type="yarn", theta=5e5, factor=4.0, original_max_position_embeddings=1024),
    ),
    "new yarn": (
        {
            "rope_parameters": {
                "rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0, "mscale": 0.7,
                "mscale_all_dim": 0.9, "truncate": False, "beta_slow": 2,
                "original_max_position_embeddings": 1024, "attention_factor": None,
            }
        },
        RopeConfig(
            type="yarn", theta=5e5, factor=4.0, original_max_position_embeddings=1024,
            mscale=0.7, mscale_all_dim=0.9, truncate=False, beta_slow=2.0,
        ),
    ),
    "yarn without a factor": (
        {
            "rope_parameters": {
                "rope_type": "yarn", "rope_theta": 5e5, "original_max_position_embeddings": 2048
            }
        },
        RopeConfig(type="yarn", theta=5e5, factor=2.0, original_max_position_embeddings=2048),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROPES)
def test_every_rope_in_both_spellings(name):
    """rope_scaling/type and rope_parameters/rope_type are read into the same fields."""
    keys, want = ROPES[name]
    raw = {k: v for k, v in TINY.items() if k != "rope_parameters"} | keys
    config = config_from_hf(raw, strict=True)
    assert config.rope == want
    assert config_to_hf(config) == raw
    assert config_from_hf(config_to_hf(replace(config, raw={}))).rope == want


def test_head_dim_is_honoured_or_derived():
    """head_dim wins over hidden_size / num_attention_heads in both families."""
    qwen2 = REAL["Qwen2.5-0.5B-Instruct"]
    assert config_from_hf(qwen2).head_dim == 64
    assert config_from_hf(qwen2 | {"head_dim": 80}).head_dim == 80
    assert config_from_hf({k: v for k, v in TINY.items() if k != "head_dim"}).head_dim == 128


def test_an_unknown_key_is_named_once(caplog):
    """An unknown key gives one warning that names it and its file; strict mode raises."""
    caplog.set_level(logging.WARNING)
    nested = {"chunk_size": 64, "local_size": 8, "gate": 1}
    raw = TINY | {"flux": 3, "dual_chunk_attention_config": nested}
    config_from_hf(raw, where="x/config.json")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "x/config.json: unknown key 'flux'" in messages[0]
    assert "dual_chunk_attention_config: unknown key 'gate'" in messages[1]
    with pytest.raises(ConfigError, match="unknown key 'flux'"):
        config_from_hf(raw, strict=True)


BAD = {
    "hidden_size": (None, "hidden_size is missing"),
    "num_hidden_layers": ("2", "num_hidden_layers is '2': expected an integer"),
    "vocab_size": (-1, "vocab_size is -1"),
    "rms_norm_eps": ("small", "rms_norm_eps is 'small'"),
    "tie_word_embeddings": ("no", "tie_word_embeddings is 'no'"),
    "eos_token_id": ([1, "x"], "eos_token_id is"),
    "bos_token_id": (-3, "bos_token_id is -3"),
    "rope_parameters": ([1], r"rope_parameters is \[1\]: expected an object"),
    "num_key_value_heads": (3, "num_kv_heads is 3"),
    "dual_chunk_attention_config": ({"chunk_size": 8, "local_size": 8}, "local_size is 8"),
    "architectures": ([], "architectures"),
}


@pytest.mark.parametrize("key", BAD)
def test_a_bad_value_names_file_and_key(key):
    """A missing or malformed value raises ConfigError with the file, the key and the value."""
    value, message = BAD[key]
    with pytest.raises(ConfigError, match=message) as caught:
        config_from_hf(TINY | {key: value}, where="dir/config.json")
    assert str(caught.value).startswith("dir/config.json: ")


UNSUPPORTED = {
    "architecture": ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM"),
    "activation": ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
    "rope": ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "'llama3'"),
    "old rope": (
        {"rope_parameters": None, "rope_scaling": {"type": "longrope"}},
        "rope_scaling: rope_type is 'longrope'",
    ),
    "partial rope": ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    "quantised": ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
    "dtype": ({"dtype": "float8_e4m3fn"}, "float8_e4m3fn"),
    "layer kind": ({"layer_types": ["full_attention", "linear_attention"]}, "linear_attention"),
    "windows": (
        {
            "use_sliding_window": True,
            "sliding_window": 1024,
            "max_window_layers": 1,
            "layer_types": None,
        },
        "layers from 1 on would see 1024 tokens only; set it to false",
    ),
    "windows by kind": (
        {
            "use_sliding_window": True,
            "sliding_window": 1024,
            "layer_types": ["full_attention", "sliding_attention"],
        },
        "set it to false",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_unsupported_value_is_refused(name):
    """A known key with a value we do not run raises UnsupportedModelError naming both."""
    keys, message = UNSUPPORTED[name]
    with pytest.raises(UnsupportedModelError, match=message):
        config_from_hf(TINY | keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"use_sliding_window": True, "sliding_window": 1024, "max_window_layers": 2},
        {"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 0},
        {"use_sliding_window": False, "sliding_window": 1024, "max_window_layers": 0},
    ],
)
def test_windows_that_change_nothing_are_accepted(keys):
    """No affected layer, or a window as long as the context: nothing to refuse."""
    config_from_hf({k: v for k, v in TINY.items() if k != "layer_types"} | keys, strict=True)


TABLE = [{"0": ["vertical_and_slash", 30, 800, 0.9], "1": ["vertical_and_slash", 1000, 6096, 1]}]


def tiny_with_table(**dual):
    settings = {"chunk_size": 64, "local_size": 16, **dual}
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "layer_types": ["full_attention"]}
    return TINY | sizes | {"dual_chunk_attention_config": settings}


def test_the_sparse_table_is_read_from_its_file_or_from_the_config():
    """sparse_attention_config.json and the key inside dual_chunk_attention_config mean the same."""
    heads = (
        (
            HeadBudget(vertical_size=30, slash_size=800),
            HeadBudget(vertical_size=1000, slash_size=6096),
        ),
    )
    limits = {"sparse_attention_threshold": 128, "sparse_attention_last_q": 32}
    want = SparseTable(heads=heads, threshold=128, last_q=32)
    beside = config_from_hf(tiny_with_table(**limits), table=TABLE, strict=True)
    inside = config_from_hf(tiny_with_table(sparse_attention_config=TABLE, **limits), strict=True)
    assert beside.sparse_table == inside.sparse_table == want
    assert config_to_hf(beside) == dict(beside.raw)
    assert config_to_hf(inside) == dict(inside.raw)
    assert config_from_hf(tiny_with_table()).sparse_table is None
    again = table_to_hf(beside.sparse_table)
    assert config_from_hf(beside.raw, table=again).sparse_table == want


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"0": 1}, ConfigError, "a list with one object per layer"),
        ([{"0": ["vertical_and_slash", 30, 800, 1]}], ConfigError, "1 layers x 1 heads"),
        ([{"1": ["vertical_and_slash", 30, 800, 1]}], ConfigError, "layer 0: keys are"),
        ([{"0": ["vertical_and_slash", 30]}], ConfigError, "layer 0, head 0 is"),
        ([{"0": ["vertical_and_slash", 30, -1, 1]}], ConfigError, "head 0: slash_size is -1"),
        ([{"0": ["block_sparse", 30, 800, 1]}], UnsupportedModelError, "'block_sparse'"),
    ],
)
def test_a_bad_table_names_layer_and_head(table, error, message):
    """A malformed table raises with its file, layer and head."""
    with pytest.raises(error, match=message) as caught:
        config_from_hf(tiny_with_table(), table=table, where="m/config.json")
    assert "m/" in str(caught.value)
