"""Log-probabilities as chat, completions and vLLM write them."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from longreach.serve.events import Piece, TokenLogprobs

if TYPE_CHECKING:
    from longreach.engine.logprobs import Logprob
    from longreach.text import Tokenizer

LOWEST = -9999.0
"""Stands for minus infinity, which JSON lacks."""


def chat_logprobs(
    tokenizer: Tokenizer,
    token_ids: Sequence[int],
    logprobs: Sequence[TokenLogprobs],
    num_top: int,
) -> list[dict[str, Any]]:
    """`logprobs.content`: each token with its bytes, and the `num_top` best in its place."""
    return [
        {
            **_chat_entry(tokenizer, token, entries[token]),
            "top_logprobs": [
                _chat_entry(tokenizer, other, entry) for other, entry in _best(entries, num_top)
            ],
        }
        for token, entries in zip(token_ids, logprobs, strict=True)
    ]


def _chat_entry(tokenizer: Tokenizer, token: int, entry: Logprob) -> dict[str, Any]:
    data = tokenizer.token_bytes(token)
    return {
        "token": data.decode("utf-8", "replace"),
        "logprob": finite(entry.logprob),
        "bytes": list(data),
    }


def _best(entries: TokenLogprobs, num_top: int) -> list[tuple[int, Logprob]]:
    """The token itself is listed first by the engine, wherever it ranks."""
    return sorted(entries.items(), key=lambda item: item[1].rank)[:num_top]


def finite(value: float) -> float:
    """A log-probability that JSON can hold."""
    return max(value, LOWEST)


class HeldLogprobs:
    """Tokens by answer, until there is text that they belong to."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[list[int], list[TokenLogprobs]]] = {}

    def add(self, piece: Piece) -> None:
        """Keep the tokens of a piece."""
        if piece.logprobs:
            token_ids, logprobs = self._held.setdefault(piece.index, ([], []))
            token_ids += piece.token_ids
            logprobs += piece.logprobs

    def take(self, index: int) -> tuple[list[int], list[TokenLogprobs]] | None:
        """All that are kept of an answer, once; None when there are none."""
        return self._held.pop(index, None)


class CompletionLogprobs:
    """The legacy format: parallel lists, with the offset of each token in the text.

    offset: characters of the text before the first token. num_top: how many of the best are told.
    """

    def __init__(self, tokenizer: Tokenizer, num_top: int, offset: int = 0) -> None:
        self._tokenizer = tokenizer
        self._num_top = num_top
        self._offset = offset
        # A character that tokens share counts once, with the token that completes it.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def of(
        self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprobs | None]
    ) -> dict[str, Any]:
        """The next tokens; an entry of None is a first token, which nothing predicts."""
        texts = [self._tokenizer.decode_token(token) for token in token_ids]
        offsets = []
        for token in token_ids:
            offsets.append(self._offset)
            self._offset += len(self._decoder.decode(self._tokenizer.token_bytes(token)))
        own = [
            None if entries is None else finite(entries[token].logprob)
            for token, entries in zip(token_ids, logprobs, strict=True)
        ]
        top = [None if entries is None else self._top(entries) for entries in logprobs]
        return {
            "tokens": texts,
            "token_logprobs": own,
            "top_logprobs": top if self._num_top else None,
            "text_offset": offsets,
        }

    def _top(self, entries: TokenLogprobs) -> dict[str, float]:
        return {
            self._tokenizer.decode_token(token): finite(entry.logprob)
            for token, entry in _best(entries, self._num_top)
        }


def prompt_logprobs(entries: Sequence[TokenLogprobs | None]) -> list[dict[str, Any] | None]:
    """vLLM's list: for each prompt token its own entry and the best, by token id."""
    return [
        None
        if each is None
        else {
            str(token): {
                "logprob": finite(entry.logprob),
                "rank": entry.rank,
                "decoded_token": entry.decoded_token,
            }
            for token, entry in each.items()
        }
        for each in entries
    ]
