"""Reading tokenizers and chat templates from model directories."""

from __future__ import annotations

import json

import pytest

from longreach.errors import CheckpointError, UnsupportedModelError
from longreach.text import Tokenizer
from longreach.text.files import read_chat_templates
from support.text import ADDED, SPECIALS, bare_core, make_core

TEXT = "The pass key <|im_start|> is 28884.\nIt's <tool_call> 你好"


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def listed_tokens():
    core = make_core()
    return {
        str(core.token_to_id(token)): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": token in SPECIALS,
        }
        for token in (*SPECIALS, *ADDED)
    }


@pytest.fixture
def new_layout(tmp_path):
    make_core().save(str(tmp_path / "tokenizer.json"))
    config = {
        "eos_token": "<|im_end|>",
        "pad_token": {"__type": "AddedToken", "content": "<|endoftext|>"},
        "bos_token": None,
    }
    write_json(tmp_path / "tokenizer_config.json", config)
    return tmp_path


@pytest.fixture
def old_layout(tmp_path):
    bare_core().model.save(str(tmp_path))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "added_tokens_decoder": listed_tokens(),
    }
    write_json(tmp_path / "tokenizer_config.json", config)
    return tmp_path


@pytest.mark.parametrize("layout", ["new_layout", "old_layout"])
def test_both_layouts_give_the_same_tokenizer(layout, request):
    """tokenizer.json, and vocab.json with merges.txt, give the ids that transformers gives."""
    from transformers import AutoTokenizer

    directory = request.getfixturevalue(layout)
    tokenizer = Tokenizer.from_directory(directory)
    theirs = AutoTokenizer.from_pretrained(directory)
    assert tokenizer.encode(TEXT) == make_core().encode(TEXT).ids == theirs.encode(TEXT)
    assert tokenizer.eos_token_id == theirs.eos_token_id
    assert tokenizer.special_tokens.keys() == set(SPECIALS)
    assert tokenizer._is_cuttable


def test_named_tokens(new_layout):
    """A named token is given as text or as a mapping, or not at all."""
    tokenizer = Tokenizer.from_directory(new_layout)
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    assert tokenizer.special_names == names


def test_tokens_listed_apart(old_layout):
    """added_tokens.json of old repositories is read; named tokens in it are special."""
    config = {"eos_token": "<|im_end|>", "additional_special_tokens": list(SPECIALS)}
    write_json(old_layout / "tokenizer_config.json", config)
    listed = {entry["content"]: int(index) for index, entry in listed_tokens().items()}
    write_json(old_layout / "added_tokens.json", listed)
    tokenizer = Tokenizer.from_directory(old_layout)
    assert tokenizer.encode(TEXT) == make_core().encode(TEXT).ids
    assert tokenizer.special_tokens.keys() == set(SPECIALS)


def test_a_directory_without_a_tokenizer(tmp_path):
    """The message names the directory and what was looked for."""
    with pytest.raises(
        CheckpointError, match=r"neither tokenizer\.json nor vocab\.json with merges"
    ):
        Tokenizer.from_directory(tmp_path)


def test_corrupt_files(new_layout):
    """A file that cannot be read is named."""
    (new_layout / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a tokenizer file"):
        Tokenizer.from_directory(new_layout)
    (new_layout / "tokenizer_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: not JSON"):
        Tokenizer.from_directory(new_layout)
    (new_layout / "tokenizer_config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: .*decode"):
        Tokenizer.from_directory(new_layout)
    write_json(new_layout / "tokenizer_config.json", [])
    with pytest.raises(CheckpointError, match="holds a list, expected an object"):
        Tokenizer.from_directory(new_layout)


def test_corrupt_vocabulary(old_layout):
    """vocab.json and merges.txt that do not fit together are a checkpoint error."""
    (old_layout / "vocab.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"vocab\.json or merges\.txt"):
        Tokenizer.from_directory(old_layout)


def test_contradicting_ids(new_layout):
    """A token whose listed id is not the vocabulary's is refused, with both ids."""
    entry = {"7": {"content": "<|im_end|>", "special": True}}
    write_json(new_layout / "tokenizer_config.json", {"added_tokens_decoder": entry})
    expected = make_core().token_to_id("<|im_end|>")
    with pytest.raises(CheckpointError, match=f"has id 7, but the vocabulary gives it {expected}"):
        Tokenizer.from_directory(new_layout)


@pytest.mark.parametrize("listed", [{"x": {"content": "a"}}, {"5": {}}, {"5": None}, ["a"]])
def test_unreadable_added_tokens(new_layout, listed):
    """An added_tokens_decoder of another shape is a checkpoint error naming the key."""
    write_json(new_layout / "tokenizer_config.json", {"added_tokens_decoder": listed})
    with pytest.raises(CheckpointError, match="added_tokens_decoder"):
        Tokenizer.from_directory(new_layout)


def test_named_tokens_must_exist(new_layout):
    """An eos_token outside the vocabulary is refused."""
    write_json(new_layout / "tokenizer_config.json", {"eos_token": "<nope>"})
    with pytest.raises(CheckpointError, match="eos_token '<nope>' is not in the vocabulary"):
        Tokenizer.from_directory(new_layout)


def test_other_kinds_are_not_guessed(old_layout):
    """A class other than Qwen2's cannot be built from vocab.json, nor can a prefix space."""
    write_json(old_layout / "tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"})
    with pytest.raises(UnsupportedModelError, match="tokenizer_class 'GPT2Tokenizer'"):
        Tokenizer.from_directory(old_layout)
    write_json(old_layout / "tokenizer_config.json", {"add_prefix_space": True})
    with pytest.raises(UnsupportedModelError, match="add_prefix_space"):
        Tokenizer.from_directory(old_layout)


def test_where_templates_come_from(tmp_path):
    """chat_template.jinja comes first, then chat_template.json, then tokenizer_config.json."""
    assert read_chat_templates(tmp_path) == {}
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": "config"})
    assert read_chat_templates(tmp_path) == {"default": "config"}
    write_json(tmp_path / "chat_template.json", {"chat_template": "json"})
    assert read_chat_templates(tmp_path) == {"default": "json"}
    (tmp_path / "chat_template.jinja").write_text("jinja", encoding="utf-8")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("t", encoding="utf-8")
    assert read_chat_templates(tmp_path) == {"default": "jinja", "tool_use": "t"}


def test_several_templates(tmp_path):
    """A list of named templates, or a mapping, is read; anything else is refused."""
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": named})
    assert read_chat_templates(tmp_path) == {"default": "a", "tool_use": "b"}
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": {"default": "c"}})
    assert read_chat_templates(tmp_path) == {"default": "c"}
    for bad in (7, [{"name": "x"}], ["y"]):
        write_json(tmp_path / "tokenizer_config.json", {"chat_template": bad})
        with pytest.raises(CheckpointError, match="chat_template is neither text nor a list"):
            read_chat_templates(tmp_path)
