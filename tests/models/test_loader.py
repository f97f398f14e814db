import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from longreach.errors import (
    CheckpointError,
    ConfigError,
    InvalidRequestError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from longreach.models.checkpoint import INDEX_FILE
from longreach.models.loader import load_config, load_model
from longreach.models.registry import resolve_model
from longreach.models.save import export_config, export_tensors, save_pretrained
from longreach.models.sizes import activation_bytes, num_parameters, weight_bytes
from support.stepping import Stepper, load, random_tokens, relative

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"
FAMILIES = [
    ("qwen2", {}),
    ("qwen2", {"tie_word_embeddings": False}),
    ("qwen3", {"attention_bias": True}),
    ("qwen3", {"tie_word_embeddings": False}),
]


@pytest.fixture
def copy(tiny_qwen2, tmp_path):
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_qwen2, tmp_path / "model"))


def edit(folder, change):
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)


def shard(folder):
    """Split model.safetensors in two, with an index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    weight_map = {}
    for at, part in enumerate((names[::2], names[1::2])):
        file = f"model-{at + 1:05}-of-00002.safetensors"
        save_file({name: tensors[name].clone() for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors").unlink()
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


@pytest.mark.parametrize(("family", "overrides"), FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_survive_the_round_trip(family, overrides, dtype, make_checkpoint, tmp_path):
    """HF -> ours -> HF: every tensor and config key equal, nothing left over; packed ones too."""
    folder = tmp_path / "original"
    shutil.copytree(make_checkpoint(family, **dict(overrides)), folder)
    edit(folder, lambda t: t.update({k: (v + torch.rand_like(v)).to(dtype) for k, v in t.items()}))
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = str(dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config))
    decoder, _ = load_model(folder, dtype=dtype)
    theirs, ours = load_file(folder / "model.safetensors"), export_tensors(decoder)
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert export_config(decoder) == config
    save_pretrained(decoder, tmp_path / "saved")
    again = Stepper(load_model(tmp_path / "saved", dtype=dtype)[0])
    tokens = random_tokens(9)
    assert torch.equal(again.request(tokens), Stepper(decoder).request(tokens))


def test_a_sharded_checkpoint_is_the_same_model(copy, tiny_qwen2):
    """Several files with an index load like one file."""
    shard(copy)
    tokens = random_tokens(9)
    assert torch.equal(load(copy).request(tokens), load(tiny_qwen2).request(tokens))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system lists no mappings")
def test_the_embedding_stays_mapped(tiny_qwen2):
    """The table is a view into the file, in its own dtype, whatever the compute dtype is."""
    decoder, _ = load_model(tiny_qwen2, dtype="bfloat16")
    table = decoder.embedding.weight
    assert table.dtype == torch.float32
    lines = Path("/proc/self/maps").read_text().splitlines()
    mapped = [line.split()[0].split("-") for line in lines if str(tiny_qwen2) in line]
    inside = [int(start, 16) <= table.data_ptr() < int(end, 16) for start, end in mapped]
    assert any(inside)


def test_a_missing_directory_is_named(tmp_path):
    """A path that is no directory raises ModelNotFoundError with the path."""
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelNotFoundError, match="longreach pull Qwen/Nothing-1B"):
        load_model("Qwen/Nothing-1B")


def test_a_missing_config_is_named(copy):
    """No config.json, or one that is not JSON or no object, raises ConfigError with the file."""
    for text in ("{", "[1]", None):
        (copy / "config.json").write_text(text or "")
        if text is None:
            (copy / "config.json").unlink()
        with pytest.raises(ConfigError, match=r"config\.json"):
            load_model(copy)


def test_a_bad_sparse_table_names_its_file(copy):
    """sparse_attention_config.json beside config.json is read, and blamed."""
    dual = {"chunk_size": 64, "local_size": 16}
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"dual_chunk_attention_config": dual}))
    heads = {str(head): ["vertical_and_slash", 30, 100, 1] for head in range(4)}
    table = copy / "sparse_attention_config.json"
    table.write_text(json.dumps([heads, heads]))
    read = load_config(copy).sparse_table
    assert read is not None
    assert read.heads[1][3].slash_size == 100
    table.write_text(json.dumps([heads]))
    with pytest.raises(ConfigError, match="1 layers x 4 heads"):
        load_config(copy)
    table.write_text("{")
    with pytest.raises(ConfigError, match=r"sparse_attention_config\.json"):
        load_config(copy)


def test_end_tokens_of_the_generation_config_are_added(copy):
    """Chat models end with tokens that only generation_config.json names."""
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6]}))
    config = load_config(copy)
    assert config.eos_token_ids == (config.raw["eos_token_id"], 5, 6)
    assert export_config(load_model(copy, dtype="float32")[0]) == dict(config.raw)


def test_an_unknown_key_raises_in_strict_mode(copy):
    """strict_config reaches the reading of config.json."""
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"flux": 1}))
    load_model(copy, dtype="float32")
    with pytest.raises(ConfigError, match="flux"):
        load_model(copy, strict_config=True)


@pytest.mark.parametrize("keep", [0, 4, 100, -10])
def test_a_truncated_file_is_named(copy, keep):
    """A safetensors file cut anywhere raises CheckpointError with its name."""
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: corrupt or truncated"):
        load_model(copy)


def test_a_corrupt_file_is_named(copy):
    """Bytes that are no safetensors header raise CheckpointError."""
    (copy / "model.safetensors").write_bytes(b"\xff" * 4096)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: corrupt"):
        load_model(copy)


def test_a_missing_tensor_is_named(copy):
    """A tensor that is in no file raises CheckpointError with its name."""
    edit(copy, lambda tensors: tensors.pop(Q_PROJ))
    with pytest.raises(CheckpointError, match=Q_PROJ):
        load_model(copy)


def test_a_misshapen_tensor_is_named_with_both_shapes(copy):
    """A tensor of the wrong shape raises CheckpointError with file, key and both shapes."""
    edit(copy, lambda tensors: tensors.update({Q_PROJ: torch.zeros(64, 63)}))
    with pytest.raises(CheckpointError, match=r"\[64, 63\]: expected \[64, 64\]") as caught:
        load_model(copy)
    assert Q_PROJ in str(caught.value)
    assert "model.safetensors" in str(caught.value)


def test_a_tensor_left_over_is_named(copy):
    """A tensor that the config has no place for would be silently dropped: CheckpointError."""
    bias = "model.layers.0.self_attn.o_proj.bias"
    edit(copy, lambda tensors: tensors.update({bias: torch.zeros(64)}))
    with pytest.raises(CheckpointError, match=bias):
        load_model(copy)


def test_repeated_tensors_are_ignored(copy, tiny_qwen2):
    """Rotary tables and the head of a tied model repeat what is known."""
    extra = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(8),
        "lm_head.weight": torch.zeros(3, 3),
    }
    edit(copy, lambda tensors: tensors.update(extra))
    tokens = random_tokens(5)
    assert torch.equal(load(copy).request(tokens), load(tiny_qwen2).request(tokens))


def test_quantised_tensors_are_refused(copy):
    """Integer weights belong to a quantised checkpoint: UnsupportedModelError with the tensor."""
    edit(copy, lambda tensors: tensors.update({Q_PROJ: torch.zeros(64, 64, dtype=torch.int8)}))
    with pytest.raises(UnsupportedModelError, match=Q_PROJ):
        load_model(copy)


def test_a_missing_shard_is_named(copy):
    """A file that the index names and nobody has raises CheckpointError with its name."""
    shard(copy)
    (copy / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors"):
        load_model(copy)


def test_an_index_that_lies_is_caught(copy):
    """Tensors that the index names and no file holds, foreign paths, and a missing weight_map."""
    weight_map = shard(copy)
    index = copy / INDEX_FILE
    for bad, message in (
        ({"weight_map": weight_map | {"ghost": "model-00001-of-00002.safetensors"}}, "ghost"),
        ({"weight_map": {"x": "../outside.safetensors"}}, "not a plain file name"),
        ({"weight_map": {}}, "weight_map is missing or empty"),
    ):
        index.write_text(json.dumps(bad))
        with pytest.raises(CheckpointError, match=message):
            load_model(copy)


def test_a_pickle_is_never_opened(copy):
    """A checkpoint of pickles only is refused with its reason, and its code does not run."""
    (copy / "model.safetensors").unlink()

    class Bomb:
        def __reduce__(self):
            return Path.touch, (copy / "ran",)

    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: a pickle"):
        load_model(copy)
    assert not (copy / "ran").exists()
    (copy / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"no \*\.safetensors"):
        load_model(copy)


def test_dtypes_are_checked(tiny_qwen2):
    """An unknown dtype, and float16 on a CPU, raise a ValueError that names the choices."""
    for dtype in ("int4", "float16", torch.float64):
        with pytest.raises(InvalidRequestError, match="dtype"):
            load_model(tiny_qwen2, dtype=dtype)
    assert load_model(tiny_qwen2)[0].dtype in (torch.bfloat16, torch.float32)


def test_needle_is_a_name(monkeypatch, tmp_path):
    """The name needle is the model inside the package; without it the error says how to make it."""
    monkeypatch.setattr("longreach.models.registry.__file__", str(tmp_path / "models/registry.py"))
    with pytest.raises(ModelNotFoundError, match=r"recipes/needle\.py"):
        resolve_model("needle")
    assets = tmp_path / "assets" / "needle"
    assets.mkdir(parents=True)
    (assets / "config.json").write_text("{}")
    assert resolve_model("needle") == assets


def test_pulled_models_are_found_by_id(monkeypatch, tmp_path):
    """A hub id resolves to what either hub's client left in its cache."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    folder = tmp_path / "models" / "Qwen" / "Qwen2___5-0___5B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert resolve_model("Qwen/Qwen2.5-0.5B") == folder


@pytest.mark.parametrize("quantization", [None, "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("family", "overrides"), FAMILIES)
def test_planned_bytes_are_those_held(family, overrides, dtype, quantization, make_checkpoint):
    """weight_bytes and activation_bytes count what a loaded model holds."""
    folder = make_checkpoint(family, **dict(overrides))
    decoder, config = load_model(folder, dtype=dtype, quantization=quantization)
    held = {tensor.data_ptr(): tensor.nbytes for tensor in decoder.buffers()}
    packed = [p for m in decoder.modules() for p in getattr(m, "packs", ())]
    total = sum(held.values()) + sum(p.numel() * p.element_size() for p in packed)
    assert weight_bytes(config, dtype, quantization) == total
    assert num_parameters(config) == sum(
        t.numel() for t in load_file(folder / "model.safetensors").values()
    )
    stepper = Stepper(decoder, room=512)
    batch = stepper.batch([(0, random_tokens(400), 0)])
    stepper.decoder(batch.token_ids_T, batch, stepper.pool)
    mine = {
        key: tensor
        for key, tensor in decoder.scratch._buffers.items()
        if key[0].startswith("model")
    }
    planned = activation_bytes(config, dtype, 400, quantization)
    assert sum(t.nbytes for t in mine.values()) <= planned


def test_int8_is_near_the_unquantised_model(make_checkpoint):
    """int8 logits are within a few percent of bfloat16's, for many rows and for few alike."""
    folder = make_checkpoint("qwen2", hidden_size=128, initializer_range=0.06, seed=8)
    tokens = random_tokens(60)
    want = load(folder).request(tokens)
    whole = Stepper(load_model(folder, dtype="bfloat16", quantization="int8")[0])
    got = whole.request(tokens)
    few = whole.request(tokens, cuts=range(8, 60, 8), at=1)
    assert relative(got, want) <= 0.05
    assert relative(few, want) <= 0.05
    assert relative(few, got) <= 0.02


def test_an_int8_model_is_not_saved_as_its_original(tiny_qwen2, tmp_path):
    """Saving int8 weights under the original's names would pass for the original: refused."""
    decoder, _ = load_model(tiny_qwen2, dtype="float32", quantization="int8")
    with pytest.raises(UnsupportedModelError, match="int8"):
        save_pretrained(decoder, tmp_path / "saved")
