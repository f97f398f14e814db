"""Small byte-level tokenizers made on the spot, of the kinds that real checkpoints have."""

from __future__ import annotations

import copy
import functools

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from longreach.text.files import QWEN2_PATTERN

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
ADDED = ("<tool_call>", "</tool_call>")
CORPUS = (
    "The pass key is 28884. Remember it, it's the pass key!\n\n  def read(path):\n\treturn path\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den Deich.\r\nÀ bientôt, 你好世界, привет мир 👋🏽\n",
    "One of the magic numbers for long-reach is: 7042.   We'll see; they're here. end|> <|im",
)


@functools.cache
def _trained(pattern: str | None) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    if pattern is None:
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(CORPUS * 3, trainer)
    return core


def bare_core(pattern: str | None = QWEN2_PATTERN) -> Tokenizer:
    """A trained core without added tokens; pattern None is GPT-2's pre-tokenizer."""
    return copy.deepcopy(_trained(pattern))


def make_core(pattern: str | None = QWEN2_PATTERN) -> Tokenizer:
    """A core as Qwen2 has it: NFC, the pattern, byte-level BPE, special and other added tokens."""
    core = bare_core(pattern)
    core.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    core.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    return core
