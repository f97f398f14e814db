"""Log-probabilities of tokens, reported as vLLM reports them.

Values are log_softmax of the raw logits: before bias, penalties, masks and temperature. `rank` is
one plus the number of strictly more probable tokens, so the greedy token always has rank 1 and
equal tokens share a rank.

Shape letters: B rows, T prompt rows, D hidden size, V vocabulary, K reported tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LOGITS_BYTES = 32 * 2**20  # the most fp32 logits that exist at once for prompt_logprobs


class Logprob(NamedTuple):
    """One token's log-probability (natural log), its rank from 1, and its text."""

    logprob: float
    rank: int
    decoded_token: str | None


def top_logprobs(
    logits_BV: Tensor,
    token_ids: Sequence[int],
    num_top: int,
    decode_token: Callable[[int], str] | None,
) -> list[dict[int, Logprob]]:
    """For each row the entry of its own token first, then of the `num_top` best tokens, best first.

    logits_BV: float32, raw. Equal logits are listed in any order. decode_token None leaves the
    text out.
    """
    own_B1 = torch.as_tensor(token_ids, dtype=torch.long, device=logits_BV.device)[:, None]
    best_BK, ids_BK = logits_BV.topk(min(num_top, logits_BV.shape[-1]), dim=-1)
    own_logits_B1 = logits_BV.gather(-1, own_B1)
    own_rank_B1 = 1 + (logits_BV > own_logits_B1).sum(-1, keepdim=True)
    # a sorted row: the rank is one plus the number of better entries before it
    ranks_BK = 1 + (best_BK[:, None, :] > best_BK[:, :, None]).sum(-1)
    lse_B1 = logits_BV.logsumexp(-1, keepdim=True)
    logprobs = (torch.cat([own_logits_B1, best_BK], -1) - lse_B1).tolist()
    ranks = torch.cat([own_rank_B1, ranks_BK], -1).tolist()
    ids = torch.cat([own_B1, ids_BK], -1).tolist()
    return [_entries(*row, decode_token) for row in zip(ids, logprobs, ranks, strict=True)]


def _entries(
    ids: list[int],
    logprobs: list[float],
    ranks: list[int],
    decode_token: Callable[[int], str] | None,
) -> dict[int, Logprob]:
    return {
        token: Logprob(logprob, rank, decode_token(token) if decode_token else None)
        for token, logprob, rank in zip(ids, logprobs, ranks, strict=True)
    }


class PromptLogprobs:
    """Collects a prompt's log-probabilities slice by slice, a few rows of logits at a time.

    `entries[0]` is None (nothing predicts the first token); `entries[i]` is made of row i-1 and
    always holds the prompt's own token i. At most LOGITS_BYTES of logits exist at once, or one row
    if that is larger.
    """

    def __init__(
        self,
        prompt_token_ids: Sequence[int],
        num_top: int,
        decode_token: Callable[[int], str] | None = None,
    ) -> None:
        self._token_ids = prompt_token_ids
        self._num_top = num_top
        self._decode_token = decode_token
        self.entries: list[dict[int, Logprob] | None] = [None]

    @property
    def is_complete(self) -> bool:
        """True once every token of the prompt has its entry."""
        return len(self.entries) >= len(self._token_ids)

    def add(
        self, hidden_TD: Tensor, to_logits: Callable[[Tensor], Tensor], vocab_size: int
    ) -> None:
        """Take the final-normed hidden states of the next T prompt rows, in order.

        to_logits: [rows, D] -> float32 [rows, V]. The prompt's last row predicts no prompt token
        and is ignored.
        """
        first = len(self.entries)
        wanted = min(hidden_TD.shape[0], len(self._token_ids) - first)
        step = rows_at_once(vocab_size)
        for start in range(0, wanted, step):
            end = min(start + step, wanted)
            targets = self._token_ids[first + start : first + end]
            logits_TV = to_logits(hidden_TD[start:end])
            self.entries += top_logprobs(logits_TV, targets, self._num_top, self._decode_token)


def rows_at_once(vocab_size: int) -> int:
    """How many rows of float32 logits fit LOGITS_BYTES, at least one."""
    return max(1, LOGITS_BYTES // (4 * vocab_size))
