"""What a caller may ask of sampling: one frozen record, checked when it is made.

Names and defaults are vLLM's, because people know them. Every field accepted is obeyed; a value
out of range raises `InvalidRequestError` (a ValueError) that names the field and the range.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longreach.engine.structured import StructuredOutputs
from longreach.errors import InvalidRequestError

MAX_LOGPROBS = 20  # vLLM's default engine limit
MAX_LOGIT_BIAS = 100.0  # OpenAI's range


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the tokens of one request are drawn and when its outputs end.

    n: outputs per prompt. With temperature 0 all would be equal, so n must be 1 then.
    temperature: 0 is greedy (argmax, the lowest id on ties).
    top_p, min_p: in (0, 1] and [0, 1]; top_k: 0 or -1 keep every token. Order: ops/sampling.
    repetition_penalty: above 0, counts prompt and output tokens; presence_penalty,
    frequency_penalty: in [-2, 2],
        count output tokens only.
    logit_bias: token id -> value in [-100, 100] added to its logit.
    seed: the draws depend on it and on the token's own index alone, never on the batch. None:
    drawn anew. stop: strings that end the output; cut off unless include_stop_str_in_output.
    stop_token_ids: token ids that end the output, besides the model's end-of-sequence ids.
    min_tokens: no stop id can be drawn, and no stop string counts, within the first so many
    tokens. max_tokens: None means as far as the context allows. logprobs, prompt_logprobs: how
    many of the best tokens to report beside the token itself (0: it alone).
    structured_outputs: the form that each answer must have.
    """

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] | None = None
    seed: int | None = None
    stop: str | Sequence[str] | None = None
    stop_token_ids: Sequence[int] | None = None
    min_tokens: int = 0
    max_tokens: int | None = 16
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    detokenize: bool = True
    structured_outputs: StructuredOutputs | None = None

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_shape()
        self._check_penalties()
        self._check_stops()
        self._check_flags()

    @property
    def is_greedy(self) -> bool:
        """True when the best token is taken instead of a draw."""
        return self.temperature == 0.0

    @property
    def has_penalties(self) -> bool:
        """True when logits depend on the tokens seen before."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """`stop` as a tuple, whatever spelling it was given in."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raise InvalidRequestError when a token id named here does not exist in the model."""
        expected = f"token ids in [0, {vocab_size})"
        for token in self.logit_bias or ():
            if token >= vocab_size:
                raise InvalidRequestError("logit_bias", token, expected)
        for token in self.stop_token_ids or ():
            if token >= vocab_size:
                raise InvalidRequestError("stop_token_ids", token, expected)

    def _check_counts(self) -> None:
        self._integer("n", 1)
        self._integer("min_tokens", 0)
        self._integer("max_tokens", 1, optional=True)
        self._integer("logprobs", 0, MAX_LOGPROBS, optional=True)
        self._integer("prompt_logprobs", 0, MAX_LOGPROBS, optional=True)
        self._integer("seed", -(2**63), 2**64 - 1, optional=True)
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            expected = f"an integer in [0, max_tokens = {self.max_tokens}]"
            raise InvalidRequestError("min_tokens", self.min_tokens, expected)

    def _check_shape(self) -> None:
        self._number("temperature", 0.0, math.inf)
        self._number("top_p", 0.0, 1.0, open_low=True)
        self._integer("top_k", -1)
        self._number("min_p", 0.0, 1.0)
        if self.is_greedy and self.n > 1:
            raise InvalidRequestError("n", self.n, "1 when temperature is 0 (greedy)")

    def _check_penalties(self) -> None:
        self._number("repetition_penalty", 0.0, math.inf, open_low=True)
        self._number("presence_penalty", -2.0, 2.0)
        self._number("frequency_penalty", -2.0, 2.0)
        if self.logit_bias is None:
            return
        if not isinstance(self.logit_bias, Mapping):
            raise InvalidRequestError(
                "logit_bias", self.logit_bias, "a mapping of token id to bias"
            )
        for token, bias in self.logit_bias.items():
            if not _is_integer(token) or token < 0:
                raise InvalidRequestError("logit_bias", token, "token ids that are integers >= 0")
            if not _is_number(bias) or not abs(bias) <= MAX_LOGIT_BIAS:
                raise InvalidRequestError("logit_bias", bias, "biases in [-100, 100]")

    def _check_stops(self) -> None:
        if self.stop is not None and not isinstance(self.stop, str | Sequence):
            raise InvalidRequestError("stop", self.stop, "a string or a sequence of strings")
        for text in self.stop_strings:
            if not isinstance(text, str) or not text:
                raise InvalidRequestError("stop", text, "strings that are not empty")
        if self.stop_strings and not self.detokenize:
            raise InvalidRequestError("stop", self.stop, "no stop strings when detokenize is False")
        if self.stop_token_ids is None:
            return
        if isinstance(self.stop_token_ids, str) or not isinstance(self.stop_token_ids, Sequence):
            raise InvalidRequestError("stop_token_ids", self.stop_token_ids, "a sequence of ids")
        for token in self.stop_token_ids:
            if not _is_integer(token) or token < 0:
                raise InvalidRequestError("stop_token_ids", token, "integers >= 0")

    def _check_flags(self) -> None:
        for name in (
            "ignore_eos",
            "skip_special_tokens",
            "include_stop_str_in_output",
            "detokenize",
        ):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise InvalidRequestError(name, value, "True or False")
        form = self.structured_outputs
        if not isinstance(form, StructuredOutputs | None):
            raise InvalidRequestError("structured_outputs", form, "StructuredOutputs or None")

    def _integer(
        self, name: str, low: int, high: int | None = None, *, optional: bool = False
    ) -> None:
        value = getattr(self, name)
        if value is None and optional:
            return
        if not _is_integer(value) or value < low or (high is not None and value > high):
            span = f"an integer >= {low}" if high is None else f"an integer in [{low}, {high}]"
            raise InvalidRequestError(name, value, span + (" or None" if optional else ""))

    def _number(self, name: str, low: float, high: float, *, open_low: bool = False) -> None:
        value = getattr(self, name)
        above = _is_number(value) and (value > low if open_low else value >= low)
        if not above or value > high or not value <= sys.float_info.max:
            left = "(" if open_low else "["
            right = f"{high}]" if math.isfinite(high) else "inf)"
            raise InvalidRequestError(name, value, f"a number in {left}{low}, {right}")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
