"""Checkpoints that other tools, other hands or a broken download made: obeyed, or named."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from longreach import LLM, CheckpointError, ConfigError, InvalidRequestError, SamplingParams
from longreach.config import RopeConfig
from longreach.engine.structured import StructuredOutputs
from longreach.errors import ModelNotFoundError, TemplateError
from longreach.models.checkpoint import INDEX_FILE
from longreach.models.loader import load_config, load_model
from longreach.models.registry import resolve_model
from longreach.text import ChatTemplate, Tokenizer

WEIGHTS = "model.safetensors"
NORM = "model.norm.weight"
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}


@pytest.fixture
def copy(tiny_qwen2, tmp_path):
    """A checkpoint that a test may change, in a folder with a space in its name."""
    return Path(shutil.copytree(tiny_qwen2, tmp_path / "my model"))


def change(path, **values):
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    new = {key: value for key, value in (old | values).items() if value is not ...}
    path.write_text(json.dumps(new), encoding="utf-8")


# --- weights


def test_a_tensor_in_two_files_needs_an_index(copy):
    """Without an index nobody can say which of two counts: both files are named."""
    save_file({NORM: torch.zeros(64)}, copy / "other.safetensors")
    with pytest.raises(CheckpointError, match=rf"other\.safetensors.*{NORM}.*{WEIGHTS}"):
        load_model(copy)


def test_the_index_says_where_a_tensor_is_read(copy):
    """Of two copies the one in the file that the index names counts, and it must be there."""
    tensors = load_file(copy / WEIGHTS)
    first = "model.layers.0.input_layernorm.weight"
    save_file({NORM: torch.zeros(64), first: tensors[first]}, copy / "z.safetensors")
    places = {**dict.fromkeys(tensors, WEIGHTS), first: "z.safetensors"}
    (copy / INDEX_FILE).write_text(json.dumps({"weight_map": places}))
    decoder, _ = load_model(copy, dtype="float32")
    assert torch.equal(decoder.norm.weight, tensors[NORM])
    other = "model.layers.1.input_layernorm.weight"
    (copy / INDEX_FILE).write_text(json.dumps({"weight_map": {**places, other: "z.safetensors"}}))
    with pytest.raises(CheckpointError, match=rf"z\.safetensors: tensor '{other}' is missing"):
        load_model(copy)


def test_a_link_to_nothing_is_named(copy):
    """A hub cache that lost its blobs is not blamed on an index that is not there."""
    (copy / WEIGHTS).unlink()
    (copy / WEIGHTS).symlink_to("../../blobs/gone")
    with pytest.raises(CheckpointError, match=rf"{WEIGHTS}: a link to nothing"):
        load_model(copy)


# --- config.json


def test_a_rope_scaling_that_was_added_counts(copy):
    """Beside rope_parameters, rope_scaling is obeyed, as in transformers; the base stays."""
    parameters = {"rope_type": "default", "rope_theta": 5e5}
    change(copy / "config.json", rope_theta=..., rope_parameters=parameters, rope_scaling=YARN)
    want = RopeConfig(type="yarn", theta=5e5, factor=4.0, original_max_position_embeddings=256)
    assert load_config(copy).rope == want


@pytest.mark.parametrize(
    "values",
    [{"layer_types": 5}, {"layer_types": "full_attention"}, {"rms_norm_eps": 10**400}],
    ids=lambda values: next(iter(values)),
)
def test_a_value_of_a_wrong_type_names_its_key(copy, values):
    """ConfigError with the file and the key."""
    change(copy / "config.json", **values)
    with pytest.raises(ConfigError, match=rf"config\.json: {next(iter(values))} is"):
        load_config(copy)


@pytest.mark.parametrize(
    ("name", "error"), [("config.json", ConfigError), ("tokenizer_config.json", CheckpointError)]
)
def test_json_nested_without_end_is_named(copy, name, error):
    """A file made to exhaust the stack is not JSON that we read."""
    (copy / name).write_text("[" * 200_000)
    with pytest.raises(error, match=rf"{name}: not JSON"):
        LLM(copy)


# --- tokens


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tokenizer_config.json", {"eos_token": {"text": "a"}}),
        ("tokenizer_config.json", {"eos_token": 5}),
        ("tokenizer_config.json", {"additional_special_tokens": 5}),
        ("tokenizer_config.json", {"additional_special_tokens": [{"text": "a"}]}),
        ("added_tokens.json", {"<a>": "320"}),
        ("added_tokens.json", {"<a>": 320, "<b>": None}),
    ],
)
def test_a_bad_token_names_its_file(copy, name, values):
    """CheckpointError with the file."""
    change(copy / name, **values)
    with pytest.raises(CheckpointError, match=name):
        Tokenizer.from_directory(copy)


def test_a_token_without_a_row_is_refused(copy):
    """A tokenizer with more tokens than the model: the text that needs one is an error."""
    new = {"320": {"content": "<new>", "special": True}}
    change(copy / "tokenizer_config.json", added_tokens_decoder=new)
    with LLM(copy, dtype="float32", max_model_len=64) as llm:
        with pytest.raises(InvalidRequestError, match=r"'<new>': expected tokens in \[0, 320\)"):
            llm.generate("Remember <new>")
        assert llm.generate("Remember", SamplingParams(max_tokens=1))[0].finished


@pytest.mark.parametrize("ids", [10**6, [319, 10**6]])
def test_an_end_that_cannot_be_drawn_is_no_end(copy, ids):
    """An end token beyond the vocabulary does not fail the requests that ban or expect it."""
    change(copy / "generation_config.json", eos_token_id=ids)
    form = StructuredOutputs(choice=["yes", "no"])
    with LLM(copy, dtype="float32", max_model_len=64) as llm:
        (output,) = llm.generate("Hi", SamplingParams(max_tokens=3, min_tokens=3))
        assert len(output.outputs[0].token_ids) == 3
        (output,) = llm.generate("Hi", SamplingParams(max_tokens=9, structured_outputs=form))
        assert output.outputs[0].text in ("yes", "no")


def test_a_template_that_python_cannot_compile_is_one_of_ours(copy):
    """Loops in loops past Python's limit are a TemplateError, too."""
    loops = "{% for m in messages %}" * 30 + "{% endfor %}" * 30
    change(copy / "tokenizer_config.json", chat_template=loops)
    with pytest.raises(TemplateError, match="does not compile"):
        ChatTemplate.from_directory(copy, Tokenizer.from_directory(copy))


# --- names


@pytest.mark.parametrize(
    "name", ["x" * 5000, "~nobody-here/model", "a..b/c", "a/b--c", "a/b.git", "a/" + "b" * 300]
)
def test_a_name_that_no_hub_can_have_is_not_found(name):
    """Whatever is asked for, it is a ModelNotFoundError with the name."""
    with pytest.raises(ModelNotFoundError) as caught:
        resolve_model(name)
    assert name in str(caught.value)
