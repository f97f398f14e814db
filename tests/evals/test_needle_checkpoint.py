"""The shipped checkpoint's files: an ordinary Qwen2 directory with Qwen's way of cutting text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import longreach
from longreach.evals.needle import real_text

FOLDER = Path(longreach.__file__).parent / "assets" / "needle"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The checkpoint's own tokenizer."""
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


def test_digits_are_tokens_one_by_one(tokenizer: Tokenizer) -> None:
    """A number of seven digits is seven tokens, wherever it stands."""
    pieces = tokenizer.encode("is: 4829173, x4829173").tokens
    assert [piece for piece in pieces if piece.isdigit()] == list("48291734829173")


@pytest.mark.parametrize(
    "text", ["naïve café 東京 🙂\r\n\t x", "[page 12]\n\n    def f(a): ...  \n"]
)
def test_any_text_comes_back_whole(tokenizer: Tokenizer, text: str) -> None:
    """Byte-level pieces: decode(encode(text)) is the text (in NFC)."""
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_real_text_comes_back_whole_and_takes_few_tokens(tokenizer: Tokenizer) -> None:
    """About three characters a token on source code that the tokenizer never saw."""
    text = real_text(30_000, seed=0)
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text
    assert 2.5 < len(text) / len(ids) < 5


def test_chat_marks_are_single_tokens(tokenizer: Tokenizer) -> None:
    """<|im_start|>, <|im_end|> and <|endoftext|> are special, as Qwen has them."""
    ids = [tokenizer.token_to_id(mark) for mark in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")]
    assert None not in ids
    assert tokenizer.encode("<|im_start|><|im_end|><|endoftext|>").ids == ids


def test_the_checkpoint_keeps_its_limits() -> None:
    """At most 8M parameters in 20 MB, 2 KiB of KV a token, chunk_len a multiple of 128."""
    config = json.loads((FOLDER / "config.json").read_text())
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20e6
    assert (FOLDER / "model.safetensors").stat().st_size <= 2 * 8e6
    head_dim = config["hidden_size"] // config["num_attention_heads"]
    assert config["num_hidden_layers"] * 2 * config["num_key_value_heads"] * head_dim * 2 <= 2048
    chunks = config["dual_chunk_attention_config"]
    assert (chunks["chunk_size"] - chunks["local_size"]) % 128 == 0
    assert config["max_position_embeddings"] >= 1_010_000
