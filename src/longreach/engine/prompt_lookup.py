"""Guesses of what an answer says next: what followed its last tokens where they stood before.

Prompt lookup decoding (speculative decoding without a second model). An answer over a document
quotes it, and repeats its question; a step that checks several tokens reads the keys once for all
of them.
"""

from __future__ import annotations

import numpy as np

from longreach.engine.request import Request

MIN_MATCH, MAX_MATCH = 3, 16
"""Tokens that must have stood before in the same order; and how many more are looked at."""
FIRST_DRAFT = 4


class PromptLookup:
    """Drafts for one request. num_tokens: most of a draft.

    A draft that was right is followed by one twice as long, one that was wrong by one half as long.
    """

    def __init__(self, request: Request, num_tokens: int) -> None:
        self._request, self._most = request, num_tokens
        self._size = min(FIRST_DRAFT, num_tokens)
        self._ids = np.empty(0, np.int32)
        self._known = 0
        self._last: tuple[int, ...] = ()

    def draft(self, room: int) -> tuple[int, ...]:
        """At most `room` tokens; the same ones until the request has got another token."""
        if self._known == self._request.num_tokens:
            return self._last[:room]
        known, self._known = self._known, self._request.num_tokens
        self._read(known)
        if self._last:
            self._adapt(self._ids[known : self._known].tolist())
        start = continuation(self._ids[: self._known])
        end = min(start + self._size, self._known) if start else 0
        self._last = tuple(self._ids[start:end].tolist())
        return self._last[:room]

    def _adapt(self, came: list[int]) -> None:
        """To the tokens that came where the last draft was."""
        if came[0] != self._last[0]:
            self._size = max(self._size // 2, 1)
        elif tuple(came[: len(self._last)]) == self._last:
            self._size = min(2 * self._size, self._most)

    def _read(self, known: int) -> None:
        """Take the tokens that came since the last draft."""
        request = self._request
        if not known:
            self._ids = np.empty(request.num_prompt_tokens + request.max_tokens, np.int32)
            self._ids[: request.num_prompt_tokens] = request.prompt_token_ids
            known = request.num_prompt_tokens
        self._ids[known : self._known] = request.token_ids(known, self._known)


def continuation(ids_T: np.ndarray) -> int:
    """Where that begins which followed the last tokens when they stood before; 0: they did not.

    Of several places the one with the longest match, up to MAX_MATCH; of these the latest.
    """
    if len(ids_T) <= MIN_MATCH:
        return 0
    # Ends of matches, before the last token.
    places_P = np.flatnonzero(ids_T[MIN_MATCH - 1 : -1] == ids_T[-1]) + MIN_MATCH - 1
    for depth in range(1, MAX_MATCH):
        inside_P = places_P[places_P >= depth]
        longer_P = inside_P[ids_T[inside_P - depth] == ids_T[-1 - depth]]
        if not longer_P.size:
            return int(places_P[-1]) + 1 if depth >= MIN_MATCH else 0
        places_P = longer_P
    return int(places_P[-1]) + 1
