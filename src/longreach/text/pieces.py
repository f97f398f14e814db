r"""Cutting a long text where the pre-tokenizer surely splits, so that pieces can be encoded apart.

Two places are safe for the pre-tokenizers listed below (proof per alternative of the regular
expression):

- between a newline and an ASCII letter or digit: no alternative holds a newline before such a
  character, a run of whitespace that ends with a newline is taken whole by `\s*[\r\n]+` (or by the
  punctuation before it) whatever follows, and neither character composes over the cut under NFC;
- between an ASCII letter and a space that an ASCII letter follows: a match that covers the first
  letter ends with it, and the next one is `[^\r\n\p{L}\p{N}]?\p{L}+`, which takes the space as its
  first character.

The cut is a function of the text up to a bounded look-ahead, so two texts with a common prefix
share its pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PIECE_CHARS = 32768  # a piece has at least so many characters, the last one excepted

# Qwen2, 2.5 and 3 take digits one by one; cl100k and its kin up to three; Qwen3.5 adds marks.
SAFE_PATTERNS = frozenset(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{letters}+|{digits}| ?[^\s{marks}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}", r"\p{N}{1,3}")
    for letters, marks in ((r"\p{L}", r"\p{L}"), (r"[\p{L}\p{M}]", r"\p{L}\p{M}"))
)

_LINE_CUT = re.compile(r"(?<=\n)(?=[A-Za-z0-9])")
_WORD_CUT = re.compile(r"(?<=[A-Za-z])(?= [A-Za-z])")
_ANY_CUT = re.compile(f"{_LINE_CUT.pattern}|{_WORD_CUT.pattern}")


def cut(text: str, piece_chars: int) -> Iterator[str]:
    """Pieces of `text`, in order, that join to it; each encodes alone as it does in the whole.

    A cut is the first line border between `piece_chars` and twice that, else the first word border
    there; a text without either is not cut until one comes.
    """
    start = 0
    while len(text) - start > piece_chars:
        low, high = start + piece_chars, start + 2 * piece_chars
        found = (
            _LINE_CUT.search(text, low, high)
            or _WORD_CUT.search(text, low, high)
            or _ANY_CUT.search(text, high)
        )
        if found is None:
            break
        yield text[start : found.start()]
        start = found.start()
    if start < len(text):
        yield text[start:]
