"""The engine's loop in a thread of its own; sleeps while there is nothing to do."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import TYPE_CHECKING, Protocol, TypeVar

from longreach.errors import EngineClosedError

if TYPE_CHECKING:
    from longreach.engine.engine import Engine
    from longreach.engine.outputs import RequestOutput

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class LoopListener(Protocol):
    """What the loop tells, always from its own thread."""

    def on_layer(self) -> None:
        """A layer of a step that reads prompts is done, or the step is."""
        ...

    def on_step(self, outputs: list[RequestOutput]) -> None:
        """A step is done."""
        ...

    def on_end(self, error: BaseException | None) -> None:
        """No step will follow: the loop was stopped, or (error) it failed."""
        ...


class EngineLoop:
    """Steps an engine while it has unfinished requests.

    error: what ended the loop, if it was not `stop`.
    """

    def __init__(self, engine: Engine, listener: LoopListener) -> None:
        self.error: BaseException | None = None
        self._engine = engine
        self._listener = listener
        self._calls: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._is_stopping = False
        self._has_ended = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="longreach-engine", daemon=True)

    def start(self) -> None:
        """Begin to step."""
        self._thread.start()

    def notify(self) -> None:
        """A request was queued, or there may be work in the background."""
        with self._changed:
            self._changed.notify()

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Run `function` in the loop's thread, between two steps."""
        future: Future[Result] = Future()
        with self._changed:
            if self._has_ended:
                future.set_exception(EngineClosedError("the engine has stopped"))
                return future
            self._calls.append((function, future))  # type: ignore[arg-type]
            self._changed.notify()
        return future

    def stop(self) -> None:
        """Stop after the layer that runs, and wait for that. Harmless when it has ended."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait():
                self._run_calls()
                self._engine.do_background_work()
                if self._engine.has_unfinished:
                    self._listener.on_step(
                        self._engine.step(
                            should_stop=self._should_stop, on_progress=self._listener.on_layer
                        )
                    )
        except BaseException as error:  # whatever it is, nobody may wait for ever
            logger.exception("the engine's loop failed")
            self.error = error
        self._end()

    def _should_stop(self) -> bool:
        return self._is_stopping

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when it is to stop."""
        with self._changed:
            while not (self._is_stopping or self._calls or self._has_work()):
                self._changed.wait()
            return not self._is_stopping

    def _has_work(self) -> bool:
        return self._engine.has_unfinished or self._engine.has_background_work

    def _run_calls(self) -> None:
        while self._calls:
            function, future = self._calls.popleft()
            if not future.set_running_or_notify_cancel():
                continue  # its caller gave up
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001  # the caller's to handle
                future.set_exception(error)

    def _end(self) -> None:
        with self._changed:
            self._has_ended = True
        self._listener.on_end(self.error)
        while self._calls:
            future = self._calls.popleft()[1]
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineClosedError("the engine has stopped"))
