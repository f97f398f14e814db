"""An engine for servers, without a model: it says what its script says, token by token.

Tokenizer and chat template are those of the model that is shipped.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from longreach.engine.logprobs import Logprob
from longreach.engine.outputs import CompletionOutput, RequestMetrics, RequestOutput
from longreach.engine.protocol import (
    EngineStatus,
    PrefixState,
    PromptEstimate,
    PromptProgress,
)
from longreach.errors import ContextLengthError, EngineClosedError, InvalidRequestError
from longreach.models.registry import resolve_model
from longreach.text import ChatTemplate, Detokenizer, Tokenizer
from support.qwen_chat import TEMPLATE

PAGE = 128


@cache
def needle_tokenizer():
    return Tokenizer.from_directory(resolve_model("needle"))


@cache
def needle_template():
    return ChatTemplate.from_directory(resolve_model("needle"), needle_tokenizer())


@cache
def qwen_template():
    """Qwen2.5's template, which shows tools, calls and their results."""
    return ChatTemplate(needle_tokenizer(), {"default": TEMPLATE})


@cache
def thinking_template():
    """A template that opens the model's reasoning, and shows that of earlier turns."""
    given = "'<|im_start|>assistant\\n'"
    source = TEMPLATE.replace(given, given + " ~ '<think>\\n'")
    return ChatTemplate(needle_tokenizer(), {"default": source})


@dataclass
class FakeAsyncEngine:
    """`script`: a text, or a function of (request, index) that gives one.

    fail: raised by `submit`. fail_after: (pieces, error): the request ends with it then.
    gate: when given, awaited before every piece after the first `free_pieces`.
    steps: how many progress reports a prompt takes; 0: none.
    """

    script: str | Callable = "The pass key is 28884."
    fail: Exception | None = None
    fail_after: tuple[int, Exception] | None = None
    gate: asyncio.Event | None = None
    free_pieces: int = 0
    steps: int = 2
    max_model_len: int = 4096
    num_cached: int = 0
    tokenizer: Tokenizer = field(default_factory=needle_tokenizer)
    chat_template: ChatTemplate = field(default_factory=needle_template)
    requests: list = field(default_factory=list)
    aborted: list = field(default_factory=list)
    resets: list = field(default_factory=list)
    pins: dict = field(default_factory=dict)
    status: EngineStatus = field(default_factory=lambda: EngineStatus(page_size=PAGE))
    is_draining: bool = False
    _ids: itertools.count = field(default_factory=itertools.count)

    @property
    def vocab_size(self):
        return self.tokenizer.vocab_size

    async def submit(self, request):
        if self.is_draining:
            raise EngineClosedError("draining")
        if self.fail is not None:
            raise self.fail
        ids = request.prompt_token_ids
        if ids is None:
            ids = self.tokenizer.encode(request.prompt)
        if not ids:
            raise InvalidRequestError("prompt", "", "at least one token")
        params = request.params
        room = self.max_model_len - len(ids)
        if room < (params.max_tokens or 1):
            raise ContextLengthError(len(ids), params.max_tokens or 1, self.max_model_len)
        self.requests.append(request)
        request_id = request.request_id or f"request-{next(self._ids)}"
        return FakeSubmission(self, request_id, list(ids), request, params.max_tokens or room)

    async def embed(self, prompts, *, pooling="mean", cache_salt=""):
        if self.fail is not None:
            raise self.fail
        return [[1.0 / (1 + len(prompt)), 0.5, -0.5] for prompt in prompts]

    async def estimate(self, token_ids, *, max_tokens=0, cache_salt=""):
        total = len(token_ids) + max_tokens
        return PromptEstimate(
            num_tokens=len(token_ids),
            num_cached_tokens=min(self.num_cached, len(token_ids)),
            max_model_len=self.max_model_len,
            fits=total <= self.max_model_len,
            seconds=len(token_ids) / 1000,
            peak_bytes=2**30,
        )

    async def prefix_state(self, token_ids, *, cache_salt=""):
        pin = self.pins.get((tuple(token_ids), cache_salt))
        cached = min(self.num_cached, len(token_ids)) // PAGE * PAGE
        return PrefixState(
            num_tokens=len(token_ids),
            num_memory_tokens=cached,
            num_bytes=2048 * cached,
            pinned=pin is not None,
            pinned_until=None if pin is None or pin[0] is None else time.time() + pin[0],
        )

    async def pin(self, token_ids, *, cache_salt="", ttl_s=None, label=""):
        self.pins[tuple(token_ids), cache_salt] = (ttl_s, label)
        return await self.prefix_state(token_ids, cache_salt=cache_salt)

    async def unpin(self, token_ids, *, cache_salt=""):
        self.pins.pop((tuple(token_ids), cache_salt), None)
        return await self.prefix_state(token_ids, cache_salt=cache_salt)

    async def reset_prefix_cache(self, *, cache_salt=None):
        self.resets.append(cache_salt)
        return 3

    async def drain(self, timeout_s=None):
        self.is_draining = True

    def close(self):
        self.is_draining = True


@dataclass
class FakeSubmission:
    engine: FakeAsyncEngine
    request_id: str
    prompt_token_ids: Sequence[int]
    request: object
    max_tokens: int
    is_done: bool = False

    @property
    def num_prompt_tokens(self):
        return len(self.prompt_token_ids)

    def abort(self):
        if not self.is_done:
            self.is_done = True
            self.engine.aborted.append(self.request_id)

    async def __aiter__(self):
        sent = 0
        for item in self._items():
            fail_after = self.engine.fail_after
            if fail_after and isinstance(item, RequestOutput) and sent == fail_after[0]:
                self.is_done = True
                yield replace(item, outputs=[], finished=True, error=fail_after[1])
                return
            if self.engine.gate is not None and sent >= self.engine.free_pieces:
                await self.engine.gate.wait()
            await asyncio.sleep(0)
            sent += isinstance(item, RequestOutput)
            if isinstance(item, RequestOutput) and item.finished:
                self.is_done = True
            yield item

    def _items(self):
        yield from self._progress()
        params = self.request.params
        answers = [FakeAnswer(self, index) for index in range(params.n)]
        written = 0
        while any(not answer.ended for answer in answers):
            outputs = [answer.step() for answer in answers if not answer.ended]
            written += len(outputs)
            yield RequestOutput(
                request_id=self.request_id,
                prompt=None,
                prompt_token_ids=self.prompt_token_ids,
                prompt_logprobs=self._prompt_logprobs() if written == len(outputs) else None,
                outputs=outputs,
                finished=all(answer.ended for answer in answers),
                metrics=self._metrics(written),
                attention=self._attention(all(answer.ended for answer in answers)),
            )

    def _attention(self, finished):
        """The later a span, the more was looked at it."""
        count = len(self.request.attention_spans)
        if not finished or not count:
            return None
        return tuple(2 * number / (count * (count + 1)) for number in range(1, count + 1))

    def _progress(self):
        total, cached = self.num_prompt_tokens, self._cached()
        for step in range(self.engine.steps):
            share = step / max(self.engine.steps - 1, 1)
            yield PromptProgress(
                processed=cached + int((total - cached) * share),
                total=total,
                cached=cached,
                time_ms=10.0 * step,
                eta_s=None if step == 0 else 0.0,
            )

    def _cached(self):
        return min(self.engine.num_cached, self.num_prompt_tokens - 1)

    def _prompt_logprobs(self):
        if self.request.params.prompt_logprobs is None:
            return None
        num_top = self.request.params.prompt_logprobs
        return [None, *(entries_of(self.engine, t, num_top) for t in self.prompt_token_ids[1:])]

    def _metrics(self, written):
        return RequestMetrics(
            ttft_s=0.5,
            num_prompt_tokens=self.num_prompt_tokens,
            num_cached_tokens=self._cached(),
            num_generated_tokens=written,
            recall_min=0.91,
            recall_mean=0.97,
            density=0.25,
            num_cache_written_tokens=PAGE,
            cache_miss_at=self._cached(),
            cache_miss_reason="not seen before",
            queue_s=0.1,
            prefill_s=0.5,
            decode_s=0.25,
        )


class FakeAnswer:
    """One answer: the script's tokens and the end token, through the real detokeniser."""

    def __init__(self, submission, index):
        engine, request = submission.engine, submission.request
        script = engine.script
        text = script if isinstance(script, str) else script(request, index)
        params = request.params
        tokens = engine.tokenizer.encode(text, allow_special=False)
        self.engine, self.params, self.index = engine, params, index
        self.tokens = [*tokens, engine.tokenizer.eos_token_id][: submission.max_tokens]
        self.detokenizer = Detokenizer(
            engine.tokenizer,
            stop=params.stop_strings,
            include_stop_str_in_output=params.include_stop_str_in_output,
            skip_special_tokens=params.skip_special_tokens,
        )
        self.at = 0
        self.ended = False

    def step(self):
        token = self.tokens[self.at]
        self.at += 1
        is_end = token == self.engine.tokenizer.eos_token_id
        text = "" if is_end else self.detokenizer.feed([token])
        stop = self.detokenizer.stop
        reason = None
        if is_end or stop is not None:
            reason = "stop"
        elif self.at == len(self.tokens):
            reason = "length"
        self.ended = reason is not None
        if self.ended:
            text += self.detokenizer.finish()
        num_top = self.params.logprobs
        return CompletionOutput(
            index=self.index,
            text=text,
            token_ids=(token,),
            logprobs=None if num_top is None else [entries_of(self.engine, token, num_top)],
            finish_reason=reason,
            stop_reason=stop,
        )


def entries_of(engine, token, num_top):
    """The token at rank 2 (1 where no other is told), and others around it."""
    decode = engine.tokenizer.decode_token
    entries = {token: Logprob(-0.5, 2, decode(token))}
    for rank, other in zip((1, 3, 4, 5), ("a", "b", "c", "d"), strict=True):
        if len(entries) < num_top:
            other_id = engine.tokenizer.encode(other)[0]
            entries.setdefault(other_id, Logprob(-0.4 - rank / 10, rank, other))
    return entries
