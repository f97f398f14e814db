"""Token ids of text pieces seen before: a second question need not tokenise its document again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int32]


class PrefixTokenCache:
    """Map from the digest of a text piece to its int32 token ids, bounded, least recent out first.

    Pieces come from `pieces.cut`, whose cuts do not depend on what follows: texts that share a
    prefix share its pieces, and the ids of a piece do not depend on its neighbours, so each piece
    is keyed by its own 128-bit BLAKE2b. The text itself is not kept. Safe to share between
    threads.
    """

    def __init__(self, max_bytes: int = 64 * 2**20) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._ids: OrderedDict[bytes, TokenIds] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def encode(
        self, pieces: Sequence[str], encode_batch: Callable[[list[str]], list[TokenIds]]
    ) -> list[TokenIds]:
        """The ids of each piece; `encode_batch` is asked only for those not seen before."""
        keys = [_digest(piece) for piece in pieces]
        found = [self._get(key) for key in keys]
        missing = [index for index, ids in enumerate(found) if ids is None]
        if missing:
            fresh = encode_batch([pieces[index] for index in missing])
            for index, ids in zip(missing, fresh, strict=True):
                found[index] = ids
                self._put(keys[index], ids)
        return [ids for ids in found if ids is not None]

    def _get(self, key: bytes) -> TokenIds | None:
        with self._lock:
            ids = self._ids.get(key)
            if ids is not None:
                self._ids.move_to_end(key)
            return ids

    def _put(self, key: bytes, ids: TokenIds) -> None:
        with self._lock:
            if key in self._ids or ids.nbytes > self.max_bytes:
                return
            self._ids[key] = ids
            self.num_bytes += ids.nbytes
            while self.num_bytes > self.max_bytes:
                _, oldest = self._ids.popitem(last=False)
                self.num_bytes -= oldest.nbytes


def _digest(piece: str) -> bytes:
    return blake2b(piece.encode("utf-8"), digest_size=16).digest()
