"""`AsyncEngine`: an engine for coroutines. Its loop runs in a thread; nothing here blocks.

submit -> (worker thread: tokenise, check) -> inbox -> EngineLoop -> Courier -> Mailbox -> you
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from longreach.engine.courier import Courier, Delivery
from longreach.engine.estimator import Estimator
from longreach.engine.loop import EngineLoop
from longreach.engine.outputs import RequestOutput
from longreach.engine.pooling import as_pooling
from longreach.engine.prefixes import Prefixes
from longreach.engine.protocol import (
    EngineStatus,
    PrefixState,
    PromptEstimate,
    PromptProgress,
    PromptRequest,
)
from longreach.engine.waiting_room import QueueLimits, WaitingRoom
from longreach.errors import EngineClosedError, InvalidRequestError, RequestAborted
from longreach.text import ChatTemplate, Tokenizer

if TYPE_CHECKING:
    from longreach.cache import PageTable
    from longreach.engine.engine import Engine
    from longreach.engine.group import RequestGroup
    from longreach.engine.llm import LLM

DRAIN_LOOK_S = 0.02


class AsyncSubmission:
    """A request that was admitted (see `protocol.Submission`)."""

    def __init__(self, delivery: Delivery, abort: Callable[[str], None]) -> None:
        self.request_id = delivery.group.request_id
        self.num_prompt_tokens = len(delivery.group.prompt_token_ids)
        self._mailbox = delivery.mailbox
        self._abort = abort

    def __aiter__(self) -> AsyncOutputs:
        return AsyncOutputs(self)

    async def get(self) -> RequestOutput | PromptProgress:
        """What is new; waits for it. Nothing follows a finished output."""
        return await self._mailbox.get()

    @property
    def is_exhausted(self) -> bool:
        """Whether all there will ever be was taken out."""
        return self._mailbox.is_exhausted

    def abort(self) -> None:
        """Stop it within one slice. Finished pages stay cached. Harmless when it has ended."""
        if not self._mailbox.is_closed:
            self._abort(self.request_id)

    def __del__(self) -> None:
        self.abort()


class AsyncOutputs:
    """One pass over a submission; when it is dropped before its end, the request is aborted."""

    def __init__(self, submission: AsyncSubmission) -> None:
        self._submission = submission
        self._has_ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RequestOutput | PromptProgress:
        if self._has_ended or self._submission.is_exhausted:
            raise StopAsyncIteration
        try:
            item = await self._submission.get()
        except BaseException:
            self._submission.abort()
            raise
        self._has_ended = isinstance(item, RequestOutput) and item.finished
        return item

    async def aclose(self) -> None:
        """End the pass early."""
        self._has_ended = True
        self._submission.abort()

    def __del__(self) -> None:
        if not self._has_ended:
            self._submission.abort()


@dataclass(frozen=True)
class _Parts:
    """What `close` lets go."""

    engine: Engine
    loop: EngineLoop
    courier: Courier
    estimator: Estimator


class AsyncEngine:
    """An `AsyncTextEngine` (protocol.py) over an `Engine` that nobody else steps from now on.

    limits: of what may wait. chat_template: the checkpoint's, read when first used, if None.
    Its requests may be awaited in any event loop, also in several.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        limits: QueueLimits | None = None,
        chat_template: ChatTemplate | None = None,
    ) -> None:
        self.max_model_len = engine.max_model_len
        self.vocab_size = engine.model.vocab_size
        self._tokenizer = engine.tokenizer
        self._folder = engine.folder
        self._chat_template = chat_template
        self._max_num_seqs = engine.config.max_num_seqs
        self._room = WaitingRoom(limits or QueueLimits())
        self._is_closing = False
        self._last_status = EngineStatus()
        courier = Courier(engine, self._room)
        loop = EngineLoop(engine, courier)
        self._parts: _Parts | None = _Parts(engine, loop, courier, Estimator(engine))
        if engine.cache.disk is not None:
            engine.cache.disk.store.writer.on_room = loop.notify
        loop.start()

    @classmethod
    def from_llm(cls, llm: LLM, *, limits: QueueLimits | None = None) -> Self:
        """Over the engine of an `LLM`, which must not be used itself from now on."""
        return cls(llm.engine, limits=limits)

    # --- what it is

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises InvalidRequestError for a checkpoint without one."""
        if self._tokenizer is None:
            raise InvalidRequestError("model", str(self._folder), "a checkpoint with a tokenizer")
        return self._tokenizer

    @property
    def chat_template(self) -> ChatTemplate:
        """The checkpoint's chat templates."""
        if self._chat_template is None:
            self._chat_template = ChatTemplate.from_directory(self._folder, self.tokenizer)
        return self._chat_template

    @property
    def status(self) -> EngineStatus:
        """As of now; after `close`, as of then."""
        return self._last_status if self._parts is None else self._look(self._parts)

    @staticmethod
    def _look(parts: _Parts) -> EngineStatus:
        engine, courier, error = parts.engine, parts.courier, parts.loop.error
        pages = engine.cache.stats()
        return EngineStatus(
            num_running=len(engine.scheduler.running),
            num_waiting=engine.num_waiting,
            kv_usage=pages.num_owned / pages.num_pages,
            num_kv_pages=pages.num_pages,
            page_size=engine.cache.page_size,
            num_cached_pages=pages.num_cached,
            prefix_queries=courier.prefix_queries,
            prefix_hits=courier.prefix_hits,
            num_preemptions=engine.num_preemptions,
            error=None if error is None else f"{type(error).__name__}: {error}",
        )

    def _open_parts(self) -> _Parts:
        """Raises EngineClosedError when no request is taken any more."""
        parts = self._parts
        if parts is not None and parts.loop.error is not None:
            error = parts.loop.error
            raise EngineClosedError(f"the engine's loop failed: {error!r}") from error
        if parts is None or self._is_closing:
            raise EngineClosedError("the engine drains or has stopped: it takes no new requests")
        return parts

    # --- requests

    async def submit(self, request: PromptRequest) -> AsyncSubmission:
        """Check and queue a prompt. Raises as `AsyncTextEngine.submit` says."""
        admission = self._open_parts().engine.admission
        return await self._submit(partial(admission.admit, request, stream=True))

    async def _submit(self, admit: Callable[[], RequestGroup]) -> AsyncSubmission:
        parts = self._open_parts()
        self._room.check(num_free_seats=self._num_free_seats(parts))
        group = await asyncio.to_thread(_admit, parts.engine, admit)
        parts = self._open_parts()
        num_tokens, seats = len(group.prompt_token_ids), self._num_free_seats(parts)
        delivery = parts.courier.open(group, asyncio.get_running_loop())
        try:
            self._room.enter(group.request_id, num_tokens, num_free_seats=seats)
            parts.engine.enqueue(group)
        except BaseException:
            parts.courier.drop(delivery)
            raise
        parts.loop.notify()
        return AsyncSubmission(delivery, parts.engine.abort)

    def _num_free_seats(self, parts: _Parts) -> int:
        num_seated = parts.courier.num_open - len(self._room)
        return max(self._max_num_seqs - num_seated, 0)

    async def embed(
        self, prompts: Sequence[Sequence[int]], *, pooling: str = "mean", cache_salt: str = ""
    ) -> list[list[float]]:
        """One vector per prompt; no more of them at once than there are seats."""
        name, admission = as_pooling(pooling), self._open_parts().engine.admission
        vectors: list[list[float]] = []
        running: deque[AsyncSubmission] = deque()
        try:
            for token_ids in prompts:
                if len(running) == self._max_num_seqs:
                    vectors.append(await _vector(running[0]))
                    running.popleft()
                admit = partial(admission.admit_embedding, token_ids, name, cache_salt=cache_salt)
                running.append(await self._submit(admit))
            vectors.extend([await _vector(submission) for submission in running])
        finally:
            for submission in running:
                submission.abort()
        return vectors

    async def estimate(
        self, token_ids: Sequence[int], *, max_tokens: int = 0, cache_salt: str = ""
    ) -> PromptEstimate:
        """What reading this prompt would take; the first call measures the machine (a second)."""
        estimator = self._open_parts().estimator
        return await asyncio.to_thread(
            estimator.estimate, token_ids, max_tokens=max_tokens, cache_salt=cache_salt
        )

    async def reset_prefix_cache(self, *, cache_salt: str | None = None) -> int:
        """Forget cached pages that nobody uses, between two steps; how many."""
        parts = self._open_parts()
        forget = partial(parts.engine.cache.forget_unused, cache_salt)
        return await asyncio.wrap_future(parts.loop.call(forget))

    # --- prefixes

    async def prefix_state(self, token_ids: Sequence[int], *, cache_salt: str = "") -> PrefixState:
        """What is kept of this prefix, as of between two steps."""
        return await self._between_steps(Prefixes.state, token_ids, cache_salt)

    async def pin(
        self,
        token_ids: Sequence[int],
        *,
        cache_salt: str = "",
        ttl_s: float | None = None,
        label: str = "",
    ) -> PrefixState:
        """Keep this prefix for ttl_s seconds, None: until it is unpinned."""
        pin = partial(Prefixes.pin, ttl_s=ttl_s, label=label)
        return await self._between_steps(pin, token_ids, cache_salt)

    async def unpin(self, token_ids: Sequence[int], *, cache_salt: str = "") -> PrefixState:
        """End the pin of exactly this prefix, if there is one."""
        return await self._between_steps(Prefixes.unpin, token_ids, cache_salt)

    async def _between_steps(
        self,
        act: Callable[[Prefixes, PageTable], PrefixState],
        token_ids: Sequence[int],
        cache_salt: str,
    ) -> PrefixState:
        parts = self._open_parts()
        prefixes = Prefixes(parts.engine)
        prefix = await asyncio.to_thread(prefixes.open, token_ids, cache_salt)
        return await asyncio.wrap_future(parts.loop.call(partial(act, prefixes, prefix)))

    # --- its end

    async def drain(self, timeout_s: float | None = None) -> None:
        """Refuse new requests and wait for those that run; abort what is left after timeout_s."""
        self._is_closing = True
        parts = self._parts
        if parts is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await _emptied(parts.courier)
        except TimeoutError:
            for request_id in parts.courier.request_ids:
                parts.engine.abort(request_id)
            await _emptied(parts.courier)

    def close(self) -> None:
        """Stop the loop after the layer that runs, and give the memory back."""
        self._is_closing = True
        parts = self._parts
        if parts is None:
            return
        parts.loop.stop()
        parts.engine.close()
        self._last_status = self._look(parts)
        self._parts = None


def _admit(engine: Engine, admit: Callable[[], RequestGroup]) -> RequestGroup:
    """In a worker thread: a million tokens take seconds to encode."""
    group = admit()
    engine.scheduler.check_fits(group.answers[0].request)
    return group


async def _vector(submission: AsyncSubmission) -> list[float]:
    async for item in submission:
        if isinstance(item, RequestOutput) and item.finished:
            if item.error is not None:
                raise item.error
            if item.embedding is not None:
                return list(item.embedding)
    raise RequestAborted(f"{submission.request_id} was stopped before its prompt was read")


async def _emptied(courier: Courier) -> None:
    while courier.num_open:  # noqa: ASYNC110  # the engine's thread empties it
        await asyncio.sleep(DRAIN_LOOK_S)
