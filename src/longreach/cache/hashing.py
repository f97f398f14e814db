"""The chain of page digests: a page's name is everything that its keys and values depend on.

digest(-1) = SHA-256(fingerprint, cache_salt, request seed)     each part with its length
digest(p)  = SHA-256(digest(p-1), token ids of page p as int32)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping

_VERSION = b"longreach page chain 1"
_INT32 = "i"


def fingerprint(**parts: object) -> bytes:
    """SHA-256 over named parts: model, rope, dual_chunk (cap too), dtype, quantization, adapter,
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


class HashChain:
    """Digests of the full pages of one token sequence, which only grows.

    digests[p] names the tokens [0, (p+1) * page_size) under the seed.
    """

    def __init__(self, seed: bytes, page_size: int) -> None:
        self.page_size = page_size
        self.digests: list[bytes] = []
        self._last = seed
        self._tail = b""

    @property
    def num_tokens(self) -> int:
        """Tokens appended so far, those of the unfinished page included."""
        return len(self.digests) * self.page_size + len(self._tail) // array(_INT32).itemsize

    def append(self, token_ids: Iterable[int]) -> None:
        """Adds tokens; hashes each page once it is full. About 20 ns a token."""
        data = memoryview(self._tail + array(_INT32, token_ids).tobytes())
        step = self.page_size * array(_INT32).itemsize
        full = len(data) - len(data) % step
        for at in range(0, full, step):
            page = hashlib.sha256(self._last)
            page.update(data[at : at + step])
            self._last = page.digest()
            self.digests.append(self._last)
        self._tail = bytes(data[full:])

    def num_shared_pages(self, other: HashChain) -> int:
        """Number of leading full pages that both chains have, in O(log pages)."""
        low, high = 0, min(len(self.digests), len(other.digests))
        while low < high:
            middle = (low + high + 1) // 2
            if self.digests[middle - 1] == other.digests[middle - 1]:
                low = middle
            else:
                high = middle - 1
        return low
