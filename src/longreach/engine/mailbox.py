"""What is new for one request, on its way from the engine's thread to a coroutine.

A consumer that falls behind finds pieces joined: a mailbox holds at most two progresses and one
output. A loop is woken once per step, whatever number of its mailboxes have news.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from threading import Lock
from typing import TypeVar

from longreach.engine.outputs import CompletionOutput, RequestOutput
from longreach.engine.protocol import PromptProgress

Item = TypeVar("Item")


class Waker:
    """Wakes the coroutines of one event loop that wait for mailboxes with news."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ready: list[Mailbox] = []
        self._is_scheduled = False
        self._lock = Lock()

    def mark(self, mailbox: Mailbox) -> None:
        """It has news. From the engine's thread."""
        with self._lock:
            self._ready.append(mailbox)

    def flush(self) -> None:
        """Have the loop look at what was marked. Raises RuntimeError when the loop is closed."""
        with self._lock:
            if self._is_scheduled or not self._ready:
                return
            self._is_scheduled = True
        self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            ready, self._ready = self._ready, []
            self._is_scheduled = False
        for mailbox in ready:
            mailbox.wake()


class Mailbox:
    """Filled by the engine's thread, emptied by one coroutine.

    is_closed: the last output was put in; what comes later is dropped.
    """

    def __init__(self, waker: Waker) -> None:
        self.waker = waker
        self.is_closed = False
        self._items: deque[RequestOutput | PromptProgress] = deque()
        self._is_marked = False
        self._lock = Lock()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: RequestOutput | PromptProgress) -> None:
        """Add news, joined to what waits; `waker.flush` tells the loop."""
        with self._lock:
            if self.is_closed:
                return
            self._add(item)
            self.is_closed = isinstance(item, RequestOutput) and item.finished
            if self._is_marked:
                return
            self._is_marked = True
        self.waker.mark(self)

    def _add(self, item: RequestOutput | PromptProgress) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(item, RequestOutput) and isinstance(last, RequestOutput):
            self._items[-1] = join_outputs(last, item)
        elif isinstance(item, PromptProgress) and len(self._items) > 1:
            self._items[-1] = item  # the first one, which says what was cached, stays before it
        else:
            self._items.append(item)

    @property
    def is_exhausted(self) -> bool:
        """Whether the last output was taken out."""
        return self.is_closed and not self._items

    async def get(self) -> RequestOutput | PromptProgress:
        """The oldest news; waits for some."""
        while True:
            with self._lock:
                if self._items:
                    return self._items.popleft()
            self._waiter = self.waker.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def wake(self) -> None:
        """In the loop's thread: there is news."""
        with self._lock:
            self._is_marked = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def join_outputs(first: RequestOutput, second: RequestOutput) -> RequestOutput:
    """Two pieces of one request's answers as one piece."""
    answers = {answer.index: answer for answer in first.outputs}
    for answer in second.outputs:
        before = answers.get(answer.index)
        answers[answer.index] = answer if before is None else _join(before, answer)
    return replace(
        second,
        outputs=[answers[index] for index in sorted(answers)],
        prompt_logprobs=_joined(first.prompt_logprobs, second.prompt_logprobs),
    )


def _join(first: CompletionOutput, second: CompletionOutput) -> CompletionOutput:
    return replace(
        second,
        text=first.text + second.text,
        token_ids=first.token_ids + second.token_ids,
        logprobs=_joined(first.logprobs, second.logprobs),
    )


def _joined(first: Sequence[Item] | None, second: Sequence[Item] | None) -> Sequence[Item] | None:
    if first is None or second is None:
        return second if first is None else first
    return list(chain(first, second))
