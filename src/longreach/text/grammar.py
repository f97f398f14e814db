"""Grammars that an answer must follow, token by token (llguidance, loaded when first asked for).

A matcher says which tokens may come next, and is told which one came. Grammars are compiled once
per model and kept, the least recently used out first.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from longreach.errors import InvalidRequestError, LongreachError

if TYPE_CHECKING:
    from longreach.text.tokenizer import Tokenizer

GrammarKind = Literal["json", "regex", "choice", "grammar"]
FIELD = "structured_outputs"
KEPT_GRAMMARS = 64
WHITESPACE = r"\n?[ \t]{0,32}"
"""Between the parts of a JSON text: one line and its indent, or a weak model fills its answer
with blanks, which the bare grammar allows for ever."""
_ECHO = 200
_MESSAGE = 600


class GrammarMatcher:
    """Where one answer stands in its grammar.

    avoid_end: an end-of-sequence token is allowed only where nothing else is.
    """

    def __init__(self, core: Any, end_words_W: NDArray[np.int32], *, avoid_end: bool) -> None:
        self._core = core
        self._end_words_W = end_words_W
        self._avoid_end = avoid_end
        self._words_W: NDArray[np.int32] | None = None

    def bitmask(self) -> NDArray[np.int32]:
        """What may come next: token i is bit i % 32 of word i // 32.

        Raises LongreachError when the grammar grows past llguidance's limits, or leaves no token.
        """
        if self._words_W is None:
            self._words_W = self._compute()
        return self._words_W

    def _compute(self) -> NDArray[np.int32]:
        words_W = np.frombuffer(self._core.compute_bitmask(), np.int32)
        if self._core.is_error():
            raise LongreachError(f"the grammar failed: {_short(self._core.get_error(), _MESSAGE)}")
        if self._avoid_end:
            without_W = words_W & ~self._end_words_W[: len(words_W)]
            words_W = without_W if without_W.any() else words_W
        if not words_W.any():
            raise LongreachError("the grammar allows none of the model's tokens here")
        return words_W.copy()

    def advance(self, token_id: int) -> None:
        """Take a token that was allowed; an error shows in the next `bitmask`."""
        self._words_W = None
        self._core.consume_token(token_id)

    @property
    def is_finished(self) -> bool:
        """Whether nothing but the end may follow."""
        return self._core.is_stopped() and not self._core.is_error()


class GrammarCompiler:
    """Grammars of one model. Thread-safe.

    vocab_size: rows of the model's embedding; those without a token are never allowed.
    end_ids: tokens that end an answer, allowed exactly where the grammar is satisfied.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._num_tokens = min(vocab_size, tokenizer.vocab_size)
        self._end_ids = [token for token in end_ids if token < self._num_tokens]
        self._vocabulary: Any = None
        self._compiled: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._lock = threading.Lock()

    def matcher(self, kind: GrammarKind, source: str, *, avoid_end: bool = False) -> GrammarMatcher:
        """A matcher at the grammar's beginning.

        source: a schema or a list of texts as JSON, a regex, or a grammar in llguidance's Lark.
        Raises InvalidRequestError when it cannot be compiled or begun, or llguidance is not
        installed.
        """
        with self._lock:
            core = self._compile(kind, source).deep_copy()
        matcher = GrammarMatcher(core, self._end_words(), avoid_end=avoid_end)
        try:
            # The first mask is the dearest one, and some grammars fail only there: it is made
            # here, where nobody else waits for it, and kept.
            matcher.bitmask()
        except LongreachError as error:
            raise _invalid(kind, source, str(error)) from error
        return matcher

    def _compile(self, kind: GrammarKind, source: str) -> Any:
        key = (kind, source)
        if key not in self._compiled:
            self._compiled[key] = self._compile_anew(kind, source)
            if len(self._compiled) > KEPT_GRAMMARS:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return self._compiled[key]

    def _compile_anew(self, kind: GrammarKind, source: str) -> Any:
        matcher_class = _llguidance().LLMatcher
        try:
            grammar = _grammar(matcher_class, kind, source)
            core = matcher_class(self._llguidance_vocabulary(), grammar, log_level=0)
        except (ValueError, RecursionError) as error:
            raise _invalid(kind, source, str(error)) from error
        if core.is_error():
            raise _invalid(kind, source, core.get_error())
        return core

    def _llguidance_vocabulary(self) -> Any:
        """The model's tokens as llguidance wants them: about a second for 150,000 of them."""
        if self._vocabulary is None:
            package = _llguidance()
            wrapper = package.TokenizerWrapper(
                _Vocabulary(self._tokenizer, self._num_tokens, self._end_ids)
            )
            self._vocabulary = package.LLTokenizer(wrapper, eos_token=self._end_ids or None)
        return self._vocabulary

    def _end_words(self) -> NDArray[np.int32]:
        # llguidance's masks have a word more where the vocabulary fills its last one.
        bits = np.zeros((self._num_tokens // 32 + 1) * 32, np.uint8)
        bits[self._end_ids] = 1
        return np.packbits(bits, bitorder="little").view(np.int32)


class _Vocabulary:
    """What llguidance's `TokenizerWrapper` reads."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, num_tokens: int, end_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = end_ids[0] if end_ids else 0
        self.tokens = [tokenizer.token_bytes(token_id) for token_id in range(num_tokens)]
        self.special_token_ids = sorted(i for i in tokenizer.special_ids if i < num_tokens)
        self._id_of_byte = {token[0]: i for i, token in enumerate(self.tokens) if len(token) == 1}

    def __call__(self, text: bytes | str) -> list[int]:
        """Tokens of exactly these bytes. A text that is not in normal form C is spelled in bytes:
        the tokenizer would change it first.
        """
        data = text.encode() if isinstance(text, str) else bytes(text)
        ids = self._tokenizer.encode(
            data.decode("utf-8", "replace"), allow_special=False, add_special_tokens=False
        )
        if b"".join(self.tokens[i] for i in ids) == data:
            return ids
        return [self._id_of_byte[byte] for byte in data if byte in self._id_of_byte]


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError as error:
        expected = "nothing: it needs the package llguidance (pip install 'longreach[serve]')"
        raise InvalidRequestError(FIELD, "asked for", expected) from error
    return llguidance


def _grammar(matcher_class: Any, kind: GrammarKind, source: str) -> str:
    if kind == "regex":
        return matcher_class.grammar_from_regex(source)
    if kind == "grammar":
        return matcher_class.grammar_from_lark(source)
    if kind == "choice":
        return matcher_class.grammar_from_lark(_alternatives(json.loads(source)))
    schema = json.loads(source)
    options = {"whitespace_pattern": WHITESPACE}
    return matcher_class.grammar_from_json_schema(
        schema if isinstance(schema, dict) else source,
        **({"defaults": options} if isinstance(schema, dict) else {}),
    )


def _alternatives(texts: Sequence[str]) -> str:
    """A grammar of fixed texts; its strings are JSON's, but for DEL, which must be escaped."""
    quoted = (json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f") for text in texts)
    return "start: " + " | ".join(quoted)


def _invalid(kind: GrammarKind, source: str, message: str) -> InvalidRequestError:
    name = {"json": "JSON schema", "choice": "list of choices"}.get(kind, kind)
    said = _short(" ".join(message.split()), _MESSAGE)
    return InvalidRequestError(FIELD, {kind: _short(source, _ECHO)}, f"a valid {name} ({said})")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
