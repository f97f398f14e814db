"""From what a caller asks for to what the engine runs: every check of a request is made here."""

from __future__ import annotations

import itertools
import operator
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from longreach.config import EngineConfig, ModelConfig
from longreach.engine.attention_look import AttentionLook, check_spans
from longreach.engine.group import Answer, RequestGroup
from longreach.engine.logprobs import PromptLogprobs
from longreach.engine.metrics import RequestClock
from longreach.engine.pooling import Pooler, Pooling
from longreach.engine.positions import Positions
from longreach.engine.prompt_lookup import PromptLookup
from longreach.engine.protocol import PrefixPin, PromptRequest
from longreach.engine.request import Request
from longreach.engine.sampler import SamplingState
from longreach.engine.sampling_params import SamplingParams
from longreach.engine.sparse_choice import make_choice, wanted_provenance
from longreach.engine.structured import GrammarMask, make_mask
from longreach.errors import ContextLengthError, InvalidRequestError
from longreach.text import Detokenizer, Tokenizer
from longreach.text.grammar import GrammarCompiler


class Admission:
    """Makes request groups.

    Thread-safe: it changes nothing but what it draws ids and seeds from, and makes its grammar
    compiler when first needed.
    """

    def __init__(
        self,
        model: ModelConfig,
        config: EngineConfig,
        tokenizer: Tokenizer | None,
        positions: Positions,
        max_model_len: int,
    ) -> None:
        self.model = model
        self.config = config
        self.tokenizer = tokenizer
        self.positions = positions
        self.max_model_len = max_model_len
        self._ids = itertools.count()
        self._seeds = random.Random(config.seed)

    def admit(self, request: PromptRequest, *, stream: bool) -> RequestGroup:
        """Check and prepare. Raises ContextLengthError, InvalidRequestError."""
        clock = RequestClock()
        token_ids = self._token_ids(request)
        params = self._resolve(request.params, len(token_ids))
        positions = self.positions.of_request(len(token_ids), params.max_tokens or 1)
        group = RequestGroup(
            request_id=request.request_id or f"request-{next(self._ids)}",
            prompt=request.prompt,
            prompt_token_ids=token_ids,
            params=params,
            positions=positions,
            stream=stream,
            clock=clock,
        )
        if params.prompt_logprobs is not None:
            decode = self.tokenizer.decode_token if self.tokenizer else None
            group.prompt_logprobs = PromptLogprobs(token_ids, params.prompt_logprobs, decode)
        seed = self._seeds.getrandbits(63) if params.seed is None else params.seed
        for index in range(params.n):
            answer = self._answer(group, request.cache_salt, index, seed)
            answer.request.pins = self._pins(request, len(token_ids)) if index == 0 else ()
            answer.request.keeps_pages = request.writes_cache
            group.answers.append(answer)
        if request.attention_spans:
            check_spans(request.attention_spans, len(token_ids))
            group.answers[0].look = AttentionLook(request.attention_spans)
        return group

    def _pins(self, request: PromptRequest, num_prompt_tokens: int) -> tuple[PrefixPin, ...]:
        for pin in request.pins:
            if pin.num_tokens > num_prompt_tokens:
                raise InvalidRequestError(
                    "pins", pin.num_tokens, f"at most the prompt's {num_prompt_tokens} tokens"
                )
        return request.pins

    def admit_embedding(
        self, token_ids: Sequence[int], pooling: Pooling, *, cache_salt: str = ""
    ) -> RequestGroup:
        """Prepare a prompt that shall become one vector: every row is computed, no page is kept.

        Raises ContextLengthError, InvalidRequestError.
        """
        params = SamplingParams(max_tokens=1, temperature=0.0, detokenize=False)
        request = PromptRequest(prompt_token_ids=token_ids, params=params, cache_salt=cache_salt)
        group = self.admit(request, stream=False)
        group.pooler = Pooler(pooling)
        only = group.answers[0].request
        only.reuse_prefix = only.keeps_pages = False
        return group

    def _token_ids(self, request: PromptRequest) -> Sequence[int]:
        if request.prompt is None:
            token_ids = _integers(request.prompt_token_ids or ())
        else:
            token_ids = self._require_tokenizer().encode(request.prompt)
        size = self.model.vocab_size
        if token_ids and not 0 <= min(token_ids) <= max(token_ids) < size:
            bad = next(token for token in token_ids if not 0 <= token < size)
            if self.tokenizer is None or request.prompt is None:
                raise InvalidRequestError("prompt_token_ids", bad, f"token ids in [0, {size})")
            text, expected = self.tokenizer.decode_token(bad), f"tokens in [0, {size}), not {bad}"
            raise InvalidRequestError("prompt", text, expected)
        return token_ids

    def _require_tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise InvalidRequestError(
                "prompt", "a text", "prompt_token_ids: the model has no tokenizer"
            )
        return self.tokenizer

    def _resolve(self, params: SamplingParams, num_prompt_tokens: int) -> SamplingParams:
        """The parameters with max_tokens as a number. Raises when prompt and answer do not fit."""
        if num_prompt_tokens == 0:
            raise InvalidRequestError("prompt", "", "at least one token")
        params.check_vocabulary(self.model.vocab_size)
        max_tokens = params.max_tokens
        if max_tokens is None:
            max_tokens = max(self.max_model_len - num_prompt_tokens, 1)
        if num_prompt_tokens + max_tokens > self.max_model_len:
            raise ContextLengthError(num_prompt_tokens, max_tokens, self.max_model_len)
        if params.stop_strings:
            self._require_tokenizer()
        return replace(params, max_tokens=max_tokens)

    def _answer(self, group: RequestGroup, cache_salt: str, index: int, seed: int) -> Answer:
        params, positions = group.params, group.positions
        wanted = wanted_provenance(self.config.sparse, len(group.prompt_token_ids))
        chunks = self.model.dual_chunk
        request = Request(
            request_id=group.request_id if params.n == 1 else f"{group.request_id}/{index}",
            prompt_token_ids=group.prompt_token_ids,
            max_tokens=params.max_tokens or 1,
            params=params,
            wanted=wanted,
            cache_salt=cache_salt,
            cache_seed=positions.seed,
            reuse_prefix=index > 0 or params.prompt_logprobs is None,
        )
        choice = make_choice(
            self.config.sparse,
            wanted,
            num_prompt_tokens=len(group.prompt_token_ids),
            segment_rows=self.config.lone_slice_tokens,
            inv_freq=positions.inv_freq,
            table=self.model.sparse_table,
            chunk_len=chunks.chunk_len if chunks else None,
            seed=seed,
        )
        return Answer(
            index=index,
            request=request,
            choice=choice,
            sampling=self._sampling_state(params, group.prompt_token_ids, index, seed),
            lookup=self._lookup(request),
            detokenizer=self._detokenizer(params),
            logprobs=[] if params.logprobs is not None else None,
            cumulative_logprob=0.0 if params.logprobs is not None else None,
        )

    def _lookup(self, request: Request) -> PromptLookup | None:
        count = self.config.num_speculative_tokens
        return PromptLookup(request, count) if count else None

    def _sampling_state(
        self, params: SamplingParams, token_ids: Sequence[int], index: int, seed: int
    ) -> SamplingState:
        return SamplingState(
            params,
            vocab_size=self.model.vocab_size,
            prompt_token_ids=token_ids,
            eos_token_ids=() if params.ignore_eos else self.eos_token_ids,
            seed=seed,
            sample_index=index,
            mask=self._mask(params),
        )

    def _mask(self, params: SamplingParams) -> GrammarMask | None:
        wanted = params.structured_outputs
        if wanted is None:
            return None
        return make_mask(wanted, self.grammars, ignore_eos=params.ignore_eos)

    @cached_property
    def grammars(self) -> GrammarCompiler:
        """Made for the first request that needs one. Raises InvalidRequestError: no tokenizer."""
        if self.tokenizer is None:
            raise InvalidRequestError(
                "structured_outputs", "asked for", "nothing: the model has no tokenizer"
            )
        return GrammarCompiler(self.tokenizer, self.model.vocab_size, self.eos_token_ids)

    @cached_property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Ids that end an answer: the checkpoint's and its tokenizer's, of those it can draw."""
        ids = set(self.model.eos_token_ids)
        if self.tokenizer is not None and self.tokenizer.eos_token_id is not None:
            ids.add(self.tokenizer.eos_token_id)
        return tuple(sorted(token for token in ids if token < self.model.vocab_size))

    def _detokenizer(self, params: SamplingParams) -> Detokenizer | None:
        if self.tokenizer is None or not params.detokenize:
            return None
        return Detokenizer(
            self.tokenizer,
            stop=params.stop_strings,
            include_stop_str_in_output=params.include_stop_str_in_output,
            skip_special_tokens=params.skip_special_tokens,
            min_tokens=params.min_tokens,
        )


def _integers(token_ids: Sequence[int]) -> list[int]:
    """As Python's own; NumPy's and torch's are integers, too. True is none."""
    if set(map(type, token_ids)) <= {int}:
        return list(token_ids)
    return [_integer(token) for token in token_ids]


def _integer(token: Any) -> int:
    try:
        if not isinstance(token, bool):
            return operator.index(token)
    except TypeError:
        pass
    raise InvalidRequestError("prompt_token_ids", token, "token ids that are integers")
