"""Where in a prompt's tokens a character of its text stands."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from longreach.text.tokenizer import Tokenizer


def tokens_before(
    tokenizer: Tokenizer, token_ids: Sequence[int], text: str, offsets: Sequence[int]
) -> list[int]:
    """For each offset in `text`, how many of its tokens end at or before that character.

    token_ids: of the whole text. A token across an offset is not counted. Where the tokens spell
    another text (one that the tokenizer changes), none is counted from there on.
    """
    order = sorted(set(offsets))
    pieces = [_as_read(text[a:b]) for a, b in pairwise([0, *order, len(text)])]
    spelled = [tokenizer.token_bytes(token) for token in token_ids]
    same = _num_common(b"".join(pieces), b"".join(spelled))
    places = np.minimum(np.cumsum([len(piece) for piece in pieces])[:-1], same)
    ends = np.cumsum([len(piece) for piece in spelled])
    found = np.searchsorted(ends, places, side="right").tolist()
    count_at = dict(zip(order, found, strict=True))
    return [count_at[offset] for offset in offsets]


def _as_read(text: str) -> bytes:
    """The bytes that Qwen's tokenizers read: composed first (NFC)."""
    return unicodedata.normalize("NFC", text).encode("utf-8")


def _num_common(a: bytes, b: bytes) -> int:
    """Bytes in common at the beginning."""
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    differs = np.frombuffer(a, np.uint8, length) != np.frombuffer(b, np.uint8, length)
    return int(differs.argmax())
