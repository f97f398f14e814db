"""Tokens of documents that were asked about lately, so that a list of them is quickly made."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int32]
MAX_TOKENS = 16 * 2**20
"""Of all together; four bytes each."""


class DocumentPrefixes:
    """Token ids by file id; the least recent go where there are too many."""

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        self._max_tokens = max_tokens
        self._num_tokens = 0
        self._known: OrderedDict[str, TokenIds] = OrderedDict()

    def get(self, file_id: str) -> TokenIds | None:
        """The tokens of a file, if they are known."""
        found = self._known.get(file_id)
        if found is not None:
            self._known.move_to_end(file_id)
        return found

    def put(self, file_id: str, token_ids: TokenIds) -> None:
        """Know these from now on; the newest stay, however many they are."""
        self.forget(file_id)
        self._known[file_id] = token_ids
        self._num_tokens += len(token_ids)
        while self._num_tokens > self._max_tokens and len(self._known) > 1:
            self.forget(next(iter(self._known)))

    def forget(self, file_id: str) -> None:
        """The file is gone."""
        self._num_tokens -= len(self._known.pop(file_id, ()))
