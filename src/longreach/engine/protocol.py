"""The two views that higher floors have of an engine: one waits, the other never blocks a loop.

Evaluation and agents are written against `TextEngine`, the server against `AsyncTextEngine`; so
they run on a fake engine as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from longreach.errors import InvalidRequestError

if TYPE_CHECKING:
    from longreach.engine.outputs import RequestOutput
    from longreach.engine.sampling_params import SamplingParams
    from longreach.text import ChatTemplate, Tokenizer


ProgressCallback = Callable[[int, int, int, float | None], object]
"""Called with (processed, total, cached, eta) while prompts are read: tokens read (cached ones
included), tokens to read, tokens found in the cache, seconds left or None while unknown."""


@dataclass(frozen=True, kw_only=True)
class PrefixPin:
    """Keep the first `num_tokens` tokens of a prompt once they are read: their full pages.

    ttl_s: seconds from then on, None: until they are unpinned. label: a name for people.
    """

    num_tokens: int
    ttl_s: float | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.num_tokens < 1:
            raise InvalidRequestError("pins", self.num_tokens, "at least 1 token")
        if self.ttl_s is not None and not self.ttl_s > 0:
            raise InvalidRequestError("ttl_s", self.ttl_s, "a number above 0, or None")


@dataclass(frozen=True, kw_only=True)
class PrefixState:
    """What is kept of a prefix of `num_tokens` tokens: its leading full pages, by place.

    num_bytes: of its keys and values, in the place that has more of them. pinned_until: Unix time;
    None where it is not pinned, or pinned without an end.
    """

    num_tokens: int
    num_memory_tokens: int = 0
    num_disk_tokens: int = 0
    num_bytes: int = 0
    pinned: bool = False
    pinned_until: float | None = None


@dataclass(frozen=True, kw_only=True)
class PromptRequest:
    """One prompt and how to continue it. Exactly one of `prompt` and `prompt_token_ids` is given.

    cache_salt: requests with different salts never share cached pages.
    attention_spans: [start, end) of prompt tokens, ascending and disjoint; the finished output's
    `attention` then says where the (first) answer looked. Costs about half of an answer's
    attention more.
    pins: prefixes of it that stay. writes_cache: False reads the cache and keeps nothing new.
    """

    params: SamplingParams
    prompt: str | None = None
    prompt_token_ids: Sequence[int] | None = None
    request_id: str | None = None
    cache_salt: str = ""
    attention_spans: tuple[tuple[int, int], ...] = ()
    pins: tuple[PrefixPin, ...] = ()
    writes_cache: bool = True

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.prompt_token_ids is None):
            raise InvalidRequestError(
                "prompt", self.prompt, "a text or prompt_token_ids, exactly one of them"
            )


@runtime_checkable
class TextEngine(Protocol):
    """Anything that turns prompts into answers."""

    def generate_requests(
        self, requests: Iterable[PromptRequest], *, progress: ProgressCallback | None = None
    ) -> Iterator[RequestOutput]:
        """Yield what is new for each request as it comes; the last output of each is `finished`."""
        ...

    def abort(self, request_id: str) -> None:
        """Stop a request. Pages finished before stay cached. Unknown ids are ignored."""
        ...


@dataclass(frozen=True, kw_only=True)
class PromptProgress:
    """How far a prompt is read: tokens read (cached ones included), all of them, cached ones.

    time_ms: since the request was submitted. eta_s: seconds left, None while unknown.
    """

    processed: int
    total: int
    cached: int
    time_ms: float
    eta_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class EngineStatus:
    """A look at the engine between two steps. kv_usage: share of pages that running requests own.

    Counters grow for ever: prefix_queries and prefix_hits in prompt tokens. error: what stopped the
    engine, None while it works.
    """

    num_running: int = 0
    num_waiting: int = 0
    kv_usage: float = 0.0
    num_kv_pages: int = 0
    page_size: int = 0
    num_cached_pages: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    num_preemptions: int = 0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class PromptEstimate:
    """What a prompt would take, before it runs. seconds: to the first token, on this machine.

    num_cached_tokens: found in memory or on disk; num_disk_tokens of them must be restored first.
    """

    num_tokens: int
    num_cached_tokens: int
    max_model_len: int
    fits: bool
    seconds: float
    peak_bytes: int
    num_disk_tokens: int = 0


@runtime_checkable
class Submission(Protocol):
    """A request that was admitted. Iterate once; leaving the iteration early aborts it."""

    request_id: str
    num_prompt_tokens: int

    def __aiter__(self) -> AsyncIterator[RequestOutput | PromptProgress]:
        """What is new as it comes: progress while the prompt is read, then pieces of answers.

        The first progress has processed == cached, the last one processed == total. The last
        output is `finished`; a failure is its `error`, not an exception.
        """
        ...

    def abort(self) -> None:
        """Stop it within one slice. Finished pages stay cached. Harmless when it has ended."""
        ...


@runtime_checkable
class AsyncTextEngine(Protocol):
    """An engine whose loop runs elsewhere; no method here blocks for longer than a dictionary."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer; thread-safe."""
        ...

    @property
    def chat_template(self) -> ChatTemplate:
        """The model's chat template; thread-safe."""
        ...

    @property
    def max_model_len(self) -> int:
        """Most tokens of a prompt and its answer."""
        ...

    @property
    def vocab_size(self) -> int:
        """Rows of the model's embedding."""
        ...

    @property
    def status(self) -> EngineStatus:
        """As of the last step."""
        ...

    async def submit(self, request: PromptRequest) -> Submission:
        """Check and queue a prompt.

        Raises ContextLengthError, MemoryPlanError, InvalidRequestError, EngineBusyError (queue
        full), EngineClosedError (draining or stopped).
        """
        ...

    async def embed(
        self, prompts: Sequence[Sequence[int]], *, pooling: str = "mean", cache_salt: str = ""
    ) -> list[list[float]]:
        """One vector per prompt of token ids: the final hidden state, "mean" or "last", L2 norm 1.

        Raises as `submit` does.
        """
        ...

    async def estimate(
        self, token_ids: Sequence[int], *, max_tokens: int = 0, cache_salt: str = ""
    ) -> PromptEstimate:
        """What reading this prompt would take now."""
        ...

    async def reset_prefix_cache(self, *, cache_salt: str | None = None) -> int:
        """Forget cached pages that nobody uses, of one salt or (None) of all; how many.

        Pins of that salt end, and what is kept on disk is removed.
        """
        ...

    async def prefix_state(self, token_ids: Sequence[int], *, cache_salt: str = "") -> PrefixState:
        """What is kept of this prefix now."""
        ...

    async def pin(
        self,
        token_ids: Sequence[int],
        *,
        cache_salt: str = "",
        ttl_s: float | None = None,
        label: str = "",
    ) -> PrefixState:
        """Keep this prefix for ttl_s seconds (None: until it is unpinned); its state after that.

        Replaces an earlier pin of the same prefix. What was not read yet stays once it is read.
        """
        ...

    async def unpin(self, token_ids: Sequence[int], *, cache_salt: str = "") -> PrefixState:
        """End the pin of exactly this prefix, if there is one; its state after that."""
        ...

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuse new requests and wait for those that run; abort what is left after timeout_s."""
        ...

    def close(self) -> None:
        """Stop the loop and give the memory back."""
        ...
