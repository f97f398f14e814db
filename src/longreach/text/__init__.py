"""Text and token ids: tokenizer, chat templates, incremental detokeniser."""

from longreach.text.chat import ChatTemplate, RenderedChat
from longreach.text.detokenizer import IncrementalDetokenizer
from longreach.text.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "IncrementalDetokenizer", "RenderedChat", "Tokenizer"]
