"""The chain of page digests: a page's name is everything that its keys and values depend on.

digest(-1) = SHA-256(fingerprint, cache_salt, request seed)     each part with its length
digest(p)  = SHA-256(digest(p-1), token ids of page p as int32)

A page that is not full is named by the same formula, over the tokens that it has.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping

_VERSION = b"longreach page chain 1"
_INT32 = "i"
MAX_SIBLINGS = 64
"""Of the pages that go on from one, how many are compared with a prompt: the newest."""


def fingerprint(**parts: object) -> bytes:
    """SHA-256 over named parts: model, rope, dual_chunk (cap too), dtype, quantization,
    temperature_mode ...: all that changes a key or a value, and nothing else.

    Values: dataclasses, mappings, sequences, numbers, strings, bytes, None; anything else counts
    by its `str`. Returns 32 bytes that do not depend on the order of the parts.
    """
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).digest()


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    return str(value)


def chain_seed(fingerprint: bytes, cache_salt: str = "", request_seed: bytes = b"") -> bytes:
    """The digest before the first page. Parts carry their length, so they cannot run together."""
    seed = hashlib.sha256(_VERSION)
    for part in (fingerprint, cache_salt.encode(), request_seed):
        seed.update(len(part).to_bytes(8, "little"))
        seed.update(part)
    return seed.digest()


@dataclasses.dataclass(frozen=True, slots=True)
class PageName:
    """What a page is called. parent: the digest before it, or the chain's seed for the first page.

    tokens: its token ids as int32; fewer than a page's where the chain has not filled it.
    """

    digest: bytes
    parent: bytes
    tokens: bytes
    is_first: bool

    def extends(self, other: PageName) -> bool:
        """Whether it holds all tokens of a sibling, and more."""
        longer = len(self.tokens) > len(other.tokens)
        return longer and self.tokens.startswith(other.tokens)


class HashChain:
    """Digests of the full pages of one token sequence, which only grows.

    digests[p] names the tokens [0, (p+1) * page_size) under the seed.
    """

    def __init__(self, seed: bytes, page_size: int) -> None:
        self.page_size = page_size
        self.digests: list[bytes] = []
        self.tokens = array(_INT32)
        self._seed = seed

    @property
    def num_tokens(self) -> int:
        """Tokens appended so far, those of the unfinished page included."""
        return len(self.tokens)

    def append(self, token_ids: Iterable[int]) -> None:
        """Adds tokens; hashes each page once it is full. About 20 ns a token."""
        self.tokens.extend(array(_INT32, token_ids))
        step = self.page_size
        last = self.parent_of(len(self.digests))
        with memoryview(self.tokens) as tokens:
            for at in range(len(self.digests) * step, len(tokens) - step + 1, step):
                last = _digest(last, tokens[at : at + step])
                self.digests.append(last)

    def parent_of(self, page: int) -> bytes:
        """The digest before a page: of the page before it, or the seed."""
        return self.digests[page - 1] if page else self._seed

    def name_of(self, page: int, num_tokens: int) -> PageName:
        """The name of a page that holds the chain's tokens up to `num_tokens`, at most its own."""
        start = page * self.page_size
        tokens = self.tokens[start : min(start + self.page_size, num_tokens)].tobytes()
        parent = self.parent_of(page)
        is_full = len(tokens) == self.page_size * self.tokens.itemsize
        digest = self.digests[page] if is_full else _digest(parent, tokens)
        return PageName(digest, parent, tokens, is_first=page == 0)

    def num_shared_pages(self, other: HashChain) -> int:
        """Number of leading full pages that both chains have, in O(log pages)."""
        most = min(len(self.digests), len(other.digests))
        return bisect_left(range(most), True, key=lambda p: self.digests[p] != other.digests[p])


def num_shared_tokens(left: bytes, right: bytes) -> int:
    """Leading int32 token ids that both have, in O(log tokens) comparisons."""
    size = array(_INT32).itemsize
    most = min(len(left), len(right)) // size
    ends = range(size, (most + 1) * size, size)
    return bisect_left(ends, True, key=lambda end: left[:end] != right[:end])


def _digest(parent: bytes, tokens: bytes | memoryview) -> bytes:
    page = hashlib.sha256(parent)
    page.update(tokens)
    return page.digest()
