"""Logits to tokens for a batch of requests, each as if it were alone.

Order of a row, as in vLLM: the log-probabilities are those of the raw logits; then the token mask,
the ban of stop ids below min_tokens, logit_bias, penalties; then the best token (temperature 0) or
temperature, min_p, top_k, top_p and a draw keyed by (seed, output, token index).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from longreach.engine.logprobs import Logprob, top_logprobs
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import LongreachError, ShapeError
from longreach.ops.sampling import (
    add_bias,
    apply_bitmask,
    apply_penalties,
    ban,
    draw_key,
    sample_row,
)


class TokenMask(Protocol):
    """What a grammar allows next."""

    def bitmask(self) -> Tensor:
        """int32 words, token i is bit i % 32 of word i // 32; 1 allows it.

        Asked twice between two tokens, it says the same. Raises LongreachError when it cannot
        go on, which ends this request alone.
        """
        ...

    def advance(self, token_id: int) -> None:
        """Take the token that was drawn."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether nothing can follow, so that the answer ends here."""
        ...


@dataclass(frozen=True, kw_only=True)
class SampledToken:
    """One row's token.

    logprobs holds it first, then the best ones, or is None if not asked for. ends_grammar: whether
    the grammar, if any, is complete with it.
    """

    token_id: int
    logprobs: dict[int, Logprob] | None
    ends_grammar: bool = False


class SamplingState:
    """What sampling needs to know of one output of one request, brought forward token by token.

    seed: used where params.seed is None; None draws one. sample_index: which of the n outputs.
    Penalties take 5 bytes per vocabulary entry, other requests nothing.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        vocab_size: int,
        prompt_token_ids: Sequence[int] = (),
        eos_token_ids: Sequence[int] = (),
        seed: int | None = None,
        sample_index: int = 0,
        mask: TokenMask | None = None,
    ) -> None:
        """Raises InvalidRequestError when params name a token that the vocabulary does not have."""
        params.check_vocabulary(vocab_size)
        self.params = params
        self.mask = mask
        self.num_output_tokens = 0
        self.stop_ids = tuple({*eos_token_ids, *(params.stop_token_ids or ())})
        self.sample_index = sample_index
        chosen = params.seed if params.seed is not None else seed
        self.seed = secrets.randbits(63) if chosen is None else chosen
        if params.has_penalties:
            self._output_counts_V = torch.zeros(vocab_size, dtype=torch.int32)
            self._prompt_mask_V = torch.zeros(vocab_size, dtype=torch.bool)
            self._prompt_mask_V[torch.as_tensor(prompt_token_ids, dtype=torch.long)] = True

    @property
    def is_finished(self) -> bool:
        """Whether the grammar is complete; never without one."""
        return self.mask is not None and self.mask.is_finished

    @property
    def draw_key(self) -> int:
        """The key of the next token's draw."""
        return draw_key(self.seed, self.sample_index, self.num_output_tokens)

    def append(self, token_id: int) -> None:
        """Count a token that was drawn (or, after a restart, drawn before)."""
        self.num_output_tokens += 1
        if self.mask is not None:
            self.mask.advance(token_id)
        if self.params.has_penalties:
            self._output_counts_V[token_id] += 1

    def adjust(self, logits_V: Tensor) -> Tensor:
        """The logits after mask, ban, bias and penalties; the argument itself is left as it is."""
        params = self.params
        if self.mask is not None:
            logits_V = apply_bitmask(logits_V, self.mask.bitmask())
        if self.num_output_tokens < params.min_tokens and self.stop_ids:
            logits_V = ban(logits_V, self.stop_ids)
        if params.logit_bias:
            logits_V = add_bias(logits_V, params.logit_bias)
        if params.has_penalties:
            logits_V = apply_penalties(
                logits_V,
                self._prompt_mask_V.to(logits_V.device),
                self._output_counts_V.to(logits_V.device),
                repetition=params.repetition_penalty,
                presence=params.presence_penalty,
                frequency=params.frequency_penalty,
            )
        return logits_V


class Sampler:
    """Draws one token for each row of logits.

    decode_token: the text of a token id for `Logprob.decoded_token`; None leaves it out.
    """

    def __init__(self, decode_token: Callable[[int], str] | None = None) -> None:
        self._decode_token = decode_token

    def __call__(
        self, logits_BV: Tensor, states: Sequence[SamplingState]
    ) -> list[SampledToken | LongreachError]:
        """One token per row, appended to its state.

        logits_BV: float32, not changed. A row without a finite maximum (a fault of the weights or
        of a kernel, or of a penalty near 0) has an error in its place, and its state is not
        changed. Raises ShapeError.
        """
        if logits_BV.ndim != 2 or logits_BV.shape[0] != len(states):
            raise ShapeError(f"logits {tuple(logits_BV.shape)} for {len(states)} requests")
        tokens = [_choose(row_V, state) for row_V, state in zip(logits_BV, states, strict=True)]
        rows = zip(logits_BV, states, tokens, strict=True)
        return [
            token if isinstance(token, LongreachError) else self._take(row_V, state, token)
            for row_V, state, token in rows
        ]

    def check_draft(
        self, logits_RV: Tensor, state: SamplingState, draft: Sequence[int]
    ) -> list[SampledToken] | LongreachError:
        """Tokens of one request, of rows that follow each other: row r + 1 was fed draft[r].

        Drawn one after the other, as if they had come alone, up to the first that is not as
        guessed, or that nothing can follow. At least one, or the error of the first row.
        """
        tokens: list[SampledToken] = []
        for row, guess in enumerate([*draft, None]):
            [token] = self(logits_RV[row : row + 1], [state])
            if isinstance(token, LongreachError):
                return tokens or token
            tokens.append(token)
            ends = token.ends_grammar or token.token_id in state.stop_ids
            if token.token_id != guess or ends:
                break
        return tokens

    def _take(self, logits_V: Tensor, state: SamplingState, token: int) -> SampledToken:
        """Each row has its own number of best tokens."""
        num_top, logprobs = state.params.logprobs, None
        if num_top is not None:
            logprobs = top_logprobs(logits_V[None], [token], num_top, self._decode_token)[0]
        state.append(token)
        return SampledToken(token_id=token, logprobs=logprobs, ends_grammar=state.is_finished)


def _choose(logits_V: Tensor, state: SamplingState) -> int | LongreachError:
    adjusted_V = state.adjust(logits_V)
    best, token = adjusted_V.max(-1)  # the first index where several are equal
    if not bool(best.isfinite()):
        return LongreachError(f"the best logit is {best.item()}: no token can be drawn")
    params = state.params
    if params.is_greedy:
        return int(token)
    return sample_row(
        adjusted_V,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        min_p=params.min_p,
        key=state.draw_key,
    )
