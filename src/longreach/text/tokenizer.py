"""Text to token ids and back, for byte-level BPE as the Qwen family uses it.

A core (Hugging Face `tokenizers`) that never sees special tokens does the byte-pair merges;
special tokens are split off here. So one object encodes trusted text (`allow_special=True`, markup
becomes special ids) and text of strangers (`allow_special=False`, "<|im_end|>" stays ten
characters of plain text), and both can be cut into pieces.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken
from tokenizers import Tokenizer as CoreTokenizer
from tokenizers.models import BPE

from longreach.errors import InvalidRequestError, UnsupportedModelError
from longreach.text.byte_level import token_to_bytes
from longreach.text.files import read_tokenizer
from longreach.text.pieces import PIECE_CHARS, SAFE_PATTERNS, cut
from longreach.text.token_cache import PrefixTokenCache, TokenIds

_BATCH = (
    16  # pieces encoded at once: bounds the memory of `Encoding` objects, about 150 bytes a token
)


class Tokenizer:
    """Token ids of a text, and the text of token ids.

    special_ids: what `decode` skips and `encode` with `allow_special=False` cannot produce.
    cache: ids of long pieces seen before.
    """

    def __init__(
        self,
        core: CoreTokenizer,
        *,
        special_names: Mapping[str, str] | None = None,
        cache: PrefixTokenCache | None = None,
        piece_chars: int = PIECE_CHARS,
    ) -> None:
        """Takes `core` over and changes it. special_names: "eos_token" and so on -> the token.

        piece_chars: longer texts are cut into pieces of at least so many characters.
        """
        _require_byte_level(core)
        core.no_truncation()
        core.no_padding()
        core.encode_special_tokens = True
        self._core = core
        self._added: dict[int, AddedToken] = core.get_added_tokens_decoder()
        specials = {token.content: index for index, token in self._added.items() if token.special}
        self._special_of_text = specials
        self._special_pattern = _alternatives(specials)
        self.special_ids = frozenset(specials.values())
        self.special_names = dict(special_names or {})
        self._piece_chars = piece_chars
        self.cache = cache if cache is not None else PrefixTokenCache()
        self.vocab_size = max(core.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self._is_cuttable = _cuts_are_safe(core, self._added.values())
        self._whole_core = None if _splits_apart(self._added.values()) else _with_special(core)
        self._affixes = _affixes(core)
        self._bytes: dict[int, bytes] = {}

    @classmethod
    def from_directory(cls, directory: str | Path) -> Tokenizer:
        """The tokenizer of a model directory. Raises CheckpointError, UnsupportedModelError."""
        core, special_names = read_tokenizer(Path(directory))
        return cls(core, special_names=special_names)

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a turn or a text."""
        token = self.special_names.get("eos_token")
        return None if token is None else self._core.token_to_id(token)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Text -> id of every special token."""
        return self._special_of_text

    def token_to_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary writes it (byte alphabet), None if unknown."""
        return self._core.token_to_id(token)

    def id_to_token(self, token_id: int) -> str | None:
        """The token as the vocabulary writes it, None for an id that only pads the embedding."""
        return self._core.id_to_token(token_id) if token_id >= 0 else None

    def encode(
        self, text: str, *, allow_special: bool = True, add_special_tokens: bool = True
    ) -> list[int]:
        """Token ids of `text` as a list; see `encode_array`."""
        ids = self.encode_array(
            text, allow_special=allow_special, add_special_tokens=add_special_tokens
        )
        return ids.tolist()

    def encode_array(
        self, text: str, *, allow_special: bool = True, add_special_tokens: bool = True
    ) -> TokenIds:
        """Token ids of `text`, int32 [tokens], as of the whole text, but in cached pieces.

        allow_special=False: no special id comes out, whatever the text says.
        add_special_tokens: what the tokenizer file adds around a text (nothing, for Qwen).
        Raises InvalidRequestError for text that is not valid Unicode (lone surrogates).
        """
        before, after = self._affixes if add_special_tokens else ([], [])
        parts = [np.asarray(before, np.int32), *self._encode_parts(text, allow_special)]
        return np.concatenate([*parts, np.asarray(after, np.int32)])

    def encode_segments(self, segments: Iterable[tuple[str, bool]]) -> list[int]:
        """Ids of (text, is_special) segments, as a rendered chat has them.

        A special segment is the text of one special token; no other can produce a special id.
        """
        parts: list[TokenIds] = []
        for text, is_special in segments:
            if is_special:
                parts.append(np.array([self._special_of_text[text]], np.int32))
            else:
                parts += self._encode_parts(text, allow_special=False)
        return np.concatenate(parts).tolist() if parts else []

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of token ids; bytes that are no UTF-8 read U+FFFD, unknown ids nothing."""
        skipped = self.special_ids if skip_special_tokens else frozenset()
        data = b"".join(self.token_bytes(int(i)) for i in token_ids if int(i) not in skipped)
        return data.decode("utf-8", "replace")

    def decode_token(self, token_id: int) -> str:
        """The text of one token alone, special ones included."""
        return self.token_bytes(token_id).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes a token stands for, b"" for an id without a token."""
        data = self._bytes.get(token_id)
        if data is None:
            token = self.id_to_token(token_id)
            data = self._bytes[token_id] = b"" if token is None else token_to_bytes(token)
        return data

    def _encode_parts(self, text: str, allow_special: bool) -> Iterator[TokenIds]:
        _require_unicode(text)
        if self._whole_core is not None:
            core = self._whole_core if allow_special else self._core
            yield _ids(core.encode(text, add_special_tokens=False).ids)
            return
        for segment, token_id in self._split(text, allow_special):
            if segment:
                yield from self._encode_plain(segment)
            if token_id is not None:
                yield np.array([token_id], np.int32)

    def _split(self, text: str, allow_special: bool) -> Iterator[tuple[str, int | None]]:
        """Plain text and the special token after it: leftmost first, then the longest."""
        start = 0
        if allow_special and self._special_pattern is not None:
            for match in self._special_pattern.finditer(text):
                yield text[start : match.start()], self._special_of_text[match.group()]
                start = match.end()
        yield text[start:], None

    def _encode_plain(self, text: str) -> Iterator[TokenIds]:
        if len(text) <= self._piece_chars or not self._is_cuttable:
            yield from self._encode_batch([text])
            return
        *pieces, last = cut(text, self._piece_chars)
        yield from self.cache.encode(pieces, self._encode_batch)
        yield from self._encode_batch([last])

    def _encode_batch(self, pieces: Sequence[str]) -> list[TokenIds]:
        done: list[TokenIds] = []
        for start in range(0, len(pieces), _BATCH):
            batch = list(pieces[start : start + _BATCH])
            encodings = self._core.encode_batch_fast(batch, add_special_tokens=False)
            done += [_ids(encoding.ids) for encoding in encodings]
        return done


def _ids(ids: list[int]) -> TokenIds:
    return np.array(ids, dtype=np.int32)


def _alternatives(tokens: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _require_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        bad = text[error.start]
        raise InvalidRequestError("text", bad, "Unicode without lone surrogates") from None


def _state(part: Any) -> dict[str, Any]:  # the parts of `tokenizers` share no base class
    """The JSON form of a part of a core tokenizer, {} where it has none."""
    return {} if part is None else json.loads(part.__getstate__())


def _require_byte_level(core: CoreTokenizer) -> None:
    decoder = _state(core.decoder).get("type")
    if decoder != "ByteLevel":
        raise UnsupportedModelError(
            f"tokenizer: decoder is {decoder!r}, but only ByteLevel (as Qwen has) is supported"
        )


def _with_special(core: CoreTokenizer) -> CoreTokenizer:
    twin = copy.deepcopy(core)
    twin.encode_special_tokens = False
    return twin


def _affixes(core: CoreTokenizer) -> tuple[list[int], list[int]]:
    """What the post-processor puts before and after a text."""
    if core.num_special_tokens_to_add(False) == 0:
        return [], []
    bare = core.encode("a", add_special_tokens=False).ids
    full = core.encode("a", add_special_tokens=True).ids
    at = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
    return full[:at], full[at + len(bare) :]


def _splits_apart(added: Iterable[AddedToken]) -> bool:
    """True when splitting special tokens off by their text is what the core would do."""
    tokens = list(added)
    specials = [token for token in tokens if token.special]
    others = [token.content for token in tokens if not token.special]
    plain = all(
        not (token.lstrip or token.rstrip or token.single_word or token.normalized)
        for token in specials
    )
    return plain and not any(_overlap(a.content, b) for a in specials for b in others)


def _overlap(a: str, b: str) -> bool:
    """True when an occurrence of one token can share characters with an occurrence of the other."""
    borders = range(1, min(len(a), len(b)))
    return a in b or b in a or any(a[-k:] == b[:k] or b[-k:] == a[:k] for k in borders)


def _cuts_are_safe(core: CoreTokenizer, added: Iterable[AddedToken]) -> bool:
    """True when the core is of the kind that `pieces.cut` is proven for."""
    for token in added:
        if token.lstrip or token.rstrip or token.single_word or re.search(r"\s", token.content):
            return False
    return (
        isinstance(core.model, BPE)
        and not core.model.dropout
        and _state(core.normalizer).get("type") in (None, "NFC")
        and _has_safe_pattern(_state(core.pre_tokenizer))
    )


def _has_safe_pattern(state: Mapping[str, Any]) -> bool:
    match state:
        case {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": pattern},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return pattern in SAFE_PATTERNS
    return False
