"""Brings what the engine's thread has to say to the coroutines that asked."""

from __future__ import annotations

import asyncio
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING

from longreach.engine.mailbox import Mailbox, Waker
from longreach.engine.outputs import CompletionOutput, RequestOutput
from longreach.engine.protocol import PromptProgress
from longreach.errors import EngineClosedError, InvalidRequestError

if TYPE_CHECKING:
    from longreach.engine.engine import Engine
    from longreach.engine.group import RequestGroup
    from longreach.engine.progress import Reading
    from longreach.engine.waiting_room import WaitingRoom

PROGRESS_S = 0.2
"""Between two progresses of one prompt, but for its first and last."""


class Delivery:
    """One request on its way: its mailbox, and how much of its prompt's reading was told."""

    def __init__(self, group: RequestGroup, mailbox: Mailbox) -> None:
        self.group = group
        self.mailbox = mailbox
        self.is_read = False
        self._cached: int | None = None
        self._started_s = self._told_s = 0.0
        self._told = 0

    @property
    def has_started(self) -> bool:
        """Whether the first progress was told."""
        return self._cached is not None

    def start(self, cached: int) -> None:
        """The request got a seat, with so many tokens found in the cache."""
        self._cached = cached
        self._started_s = self._told_s = perf_counter()
        self._tell(cached, None)

    def tell(self, reading: Reading) -> None:
        """Say how far the prompt is read, unless that was said a moment ago, or it is read."""
        now = perf_counter()
        if now - self._told_s < PROGRESS_S or not self._told < reading.read < reading.total:
            return  # a preempted prompt is read again silently
        computed = reading.read - reading.cached
        if computed > 0:
            self._told_s = now
            self._tell(
                reading.read, (now - self._started_s) / computed * (reading.total - reading.read)
            )

    def take(self, output: RequestOutput) -> None:
        """Pass a piece of the answer on; before the first one, that the prompt is read."""
        if not self.is_read and output.metrics.ttft_s is not None:
            self.is_read = True
            self._tell(output.metrics.num_prompt_tokens, 0.0)
        self.mailbox.put(output)

    def fail(self, error: Exception) -> None:
        """No more will come."""
        group = self.group
        answers = [
            CompletionOutput(index=a.index, text="", token_ids=(), finish_reason="error")
            for a in group.answers
            if a.finish_reason is None
        ]
        self.mailbox.put(
            RequestOutput(
                request_id=group.request_id,
                prompt=group.prompt,
                prompt_token_ids=group.prompt_token_ids,
                outputs=answers,
                finished=True,
                metrics=group.metrics(),
                error=error,
            )
        )

    def _tell(self, processed: int, eta_s: float | None) -> None:
        self._told = processed
        self.mailbox.put(
            PromptProgress(
                processed=processed,
                total=len(self.group.prompt_token_ids),
                cached=self._cached or 0,
                time_ms=(perf_counter() - self.group.clock.arrival_s) * 1000,
                eta_s=eta_s,
            )
        )


class Courier:
    """The loop's listener. `open` and the properties are for coroutines, `drop` for both.

    prefix_queries, prefix_hits: prompt tokens of the requests that started, and those found cached.
    """

    def __init__(self, engine: Engine, room: WaitingRoom) -> None:
        self.prefix_queries = 0
        self.prefix_hits = 0
        self._engine = engine
        self._room = room
        self._open: dict[str, Delivery] = {}
        self._unread: dict[str, Delivery] = {}
        self._wakers: dict[asyncio.AbstractEventLoop, Waker] = {}
        self._looked_s = 0.0
        self._has_ended = False
        self._lock = Lock()

    @property
    def num_open(self) -> int:
        """Requests whose last output has not come."""
        return len(self._open)

    @property
    def request_ids(self) -> list[str]:
        """Of the open requests."""
        return list(self._open)

    def open(self, group: RequestGroup, loop: asyncio.AbstractEventLoop) -> Delivery:
        """Be ready for a request. Raises EngineClosedError, InvalidRequestError (id in use)."""
        with self._lock:
            if self._has_ended:
                raise EngineClosedError("the engine has stopped")
            if group.request_id in self._open:
                raise InvalidRequestError("request_id", group.request_id, "an id not in use")
            delivery = Delivery(group, Mailbox(self._waker(loop)))
            self._open[group.request_id] = self._unread[group.request_id] = delivery
        return delivery

    def drop(self, delivery: Delivery) -> None:
        """Forget a request that was not queued after all, or has ended."""
        request_id = delivery.group.request_id
        self._open.pop(request_id, None)
        self._unread.pop(request_id, None)
        self._room.leave(request_id)

    def _waker(self, loop: asyncio.AbstractEventLoop) -> Waker:
        if loop not in self._wakers:
            self._wakers = {key: w for key, w in self._wakers.items() if not key.is_closed()}
            self._wakers[loop] = Waker(loop)
        return self._wakers[loop]

    # --- told by the loop

    def on_layer(self) -> None:
        """A layer is done: a few times a second, say how far the prompts are."""
        if self._unread and perf_counter() - self._looked_s >= PROGRESS_S / 2:
            self._look()
            self._flush()

    def on_step(self, outputs: list[RequestOutput]) -> None:
        """A step is done."""
        if self._unread:
            self._look()
        for output in outputs:
            delivery = self._open.get(output.request_id)
            if delivery is not None:
                self._pass_on(delivery, output)
        self._flush()

    def on_end(self, error: BaseException | None) -> None:
        """No step will follow: every open request fails."""
        with self._lock:
            self._has_ended = True
            left = list(self._open.values())
        for delivery in left:
            self.drop(delivery)
            if isinstance(error, Exception):
                delivery.fail(error)
            else:
                delivery.fail(EngineClosedError("the engine was stopped"))
        self._flush()

    def _look(self) -> None:
        self._looked_s = perf_counter()
        for request_id, reading in self._engine.running():
            delivery = self._unread.get(request_id)
            if delivery is None:
                continue
            if not delivery.has_started:
                self._start(delivery, reading.total, reading.cached)
            delivery.tell(reading)

    def _start(self, delivery: Delivery, total: int, cached: int) -> None:
        self.prefix_queries += total
        self.prefix_hits += cached
        self._room.leave(delivery.group.request_id)
        delivery.start(cached)

    def _pass_on(self, delivery: Delivery, output: RequestOutput) -> None:
        metrics = output.metrics
        if not delivery.is_read and metrics.ttft_s is not None:
            if not delivery.has_started:  # it began and ended within one step
                self._start(delivery, metrics.num_prompt_tokens, metrics.num_cached_tokens)
            self._unread.pop(output.request_id, None)
            self._room.observe(metrics.prefill_tokens_per_s)
        delivery.take(output)
        if output.finished:
            self.drop(delivery)

    def _flush(self) -> None:
        for waker in list(self._wakers.values()):
            try:
                waker.flush()
            except RuntimeError:  # its event loop is closed: nobody will ever read this
                self._abandon(waker)

    def _abandon(self, waker: Waker) -> None:
        with self._lock:
            self._wakers.pop(waker.loop, None)
            left = [d for d in self._open.values() if d.mailbox.waker is waker]
        for delivery in left:
            self._engine.abort(delivery.group.request_id)
