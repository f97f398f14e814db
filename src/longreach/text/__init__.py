"""Text and token ids: tokenizer, chat templates, incremental detokeniser."""

from longreach.text.tokenizer import Tokenizer

__all__ = ["Tokenizer"]
