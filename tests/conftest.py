"""Fixtures for all tests: one thread, poisoned unwritten memory, tiny random checkpoints."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("longreach", deadline=None)
settings.load_profile("longreach")

POISON_LIMIT = 1 << 24
"""Elements: larger tensors are pools that a test never touches whole."""
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' %}"
    "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
CORPUS = (
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ",
    "The pass key is 28884. Remember it. 28884 is the pass key. What is the pass key? ",
    "One of the special magic numbers for long-reach is: 7042. def read(path): return path\n",
)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The disk cache of this run, its processes included, is not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGREACH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.empty hands our modules NaN, so that reading what was never written shows."""

    def poison(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def poisoned(*args: Any, **kwargs: Any) -> torch.Tensor:
            tensor = make(*args, **kwargs)
            caller = sys._getframe(1).f_globals.get("__name__", "")
            ours = caller.startswith("longreach")
            if ours and tensor.is_floating_point() and tensor.numel() <= POISON_LIMIT:
                tensor.fill_(float("nan"))
            return tensor

        return poisoned

    monkeypatch.setattr(torch, "empty", poison(torch.empty))
    monkeypatch.setattr(torch, "empty_like", poison(torch.empty_like))
    monkeypatch.setattr(torch.Tensor, "new_empty", poison(torch.Tensor.new_empty))


@pytest.fixture(scope="session")
def tokenizer_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a byte-level BPE tokenizer of 320 tokens that has Qwen's special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320 - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": CHAT_TEMPLATE,
        "model_max_length": 32768,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def make_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, tokenizer_files: Path
) -> Callable[..., Path]:
    """A maker of Hugging Face folders, called with a family, a seed and overrides of the config.

    A random model whose weights are large enough that its choices are clear, written by
    transformers in float32. Keys that transformers does not know go into config.json as they are.
    """
    made: dict[str, Path] = {}

    def make(family: str = "qwen2", seed: int = 0, **overrides: Any) -> Path:
        key = json.dumps([family, seed, overrides], sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp(family)
            _write_checkpoint(made[key], family, seed, overrides, tokenizer_files)
        return made[key]

    return make


def _write_checkpoint(
    folder: Path, family: str, seed: int, overrides: dict[str, Any], tokenizer_files: Path
) -> None:
    import transformers

    vocab = json.loads((tokenizer_files / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {token["content"]: token["id"] for token in vocab["added_tokens"]}
    settings: dict[str, Any] = {
        "vocab_size": max(ids.values()) + 1,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "initializer_range": 0.15,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
    }
    extra = {key: overrides.pop(key) for key in list(overrides) if key.startswith("dual_chunk")}
    settings |= overrides
    names = {"qwen2": "Qwen2", "qwen3": "Qwen3"}
    if family == "qwen3":
        settings.setdefault("head_dim", 16)
    torch.manual_seed(seed)
    config = getattr(transformers, f"{names[family]}Config")(**settings)
    model = getattr(transformers, f"{names[family]}ForCausalLM")(config).float().eval()
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tokenizer_files / name).read_bytes())
    config_file = folder / "config.json"
    written = json.loads(config_file.read_text(encoding="utf-8")) | extra
    config_file.write_text(json.dumps(written, indent=2), encoding="utf-8")


@pytest.fixture(scope="session")
def tiny_qwen2(make_checkpoint: Callable[..., Path]) -> Path:
    """Plain rotary positions."""
    return make_checkpoint("qwen2")


@pytest.fixture(scope="session")
def tiny_dca(make_checkpoint: Callable[..., Path]) -> Path:
    """Dual chunk attention with chunks of 48 tokens, trained length 64."""
    dual_chunk = {"chunk_size": 64, "local_size": 16, "original_max_position_embeddings": 64}
    return make_checkpoint("qwen2", dual_chunk_attention_config=dual_chunk)


@pytest.fixture
def reference_model() -> Callable[[Path], Any]:
    """A loader of transformers' own model in float32 with eager attention."""
    import transformers

    def load(folder: Path) -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()

    return load
