"""Text and token ids: tokenizer, chat templates, incremental detokeniser."""

from longreach.text.chat import ChatTemplate, RenderedChat
from longreach.text.detokenizer import Detokenizer
from longreach.text.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Detokenizer", "RenderedChat", "Tokenizer"]
