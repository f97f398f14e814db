"""The loop's thread: calls between steps, sleep, an end that leaves no call waiting."""

import threading
import time

import pytest

from longreach.engine.loop import EngineLoop
from longreach.errors import EngineClosedError


class FakeEngine:
    """A number of steps to do; `fail` raises in the next one."""

    def __init__(self):
        self.steps_left = 0
        self.num_steps = 0
        self.fail = None
        self.background = 0
        self.gate = threading.Event()
        self.gate.set()

    @property
    def has_unfinished(self):
        return self.steps_left > 0

    @property
    def has_background_work(self):
        return self.background > 0

    def do_background_work(self):
        self.background = max(self.background - 1, 0)

    def step(self, *, should_stop, on_progress):
        self.gate.wait(10)
        if self.fail:
            raise self.fail
        if not should_stop():
            self.steps_left -= 1
            self.num_steps += 1
        on_progress()
        return ["output"]


class Listener:
    def __init__(self):
        self.told = []

    def on_layer(self):
        self.told.append("layer")

    def on_step(self, outputs):
        self.told.append(outputs)

    def on_end(self, error):
        self.told.append(error)


@pytest.fixture
def loop():
    engine, listener = FakeEngine(), Listener()
    made = EngineLoop(engine, listener)
    made.start()
    yield made
    engine.gate.set()
    made.stop()


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_it_steps_while_there_is_work(loop):
    """A notified loop steps until nothing is left, tells each step, and tells its end."""
    loop._engine.steps_left = 3
    loop.notify()
    wait_until(lambda: not loop._engine.has_unfinished)
    loop.stop()
    assert loop._listener.told == ["layer", ["output"]] * 3 + [None]
    assert loop._engine.num_steps == 3


def test_it_works_in_the_background_without_requests(loop):
    """What is left to do for the disk is done while no request runs, and makes no step."""
    loop._engine.background = 3
    loop.notify()
    wait_until(lambda: not loop._engine.has_background_work)
    assert loop._engine.num_steps == 0


def test_calls_run_in_its_thread_between_steps(loop):
    """call() gives the function's result or its exception."""
    assert loop.call(threading.current_thread).result(10) is loop._thread
    with pytest.raises(ZeroDivisionError):
        loop.call(lambda: 1 / 0).result(10)
    assert loop.call(lambda: "alive").result(10) == "alive"


def test_an_end_leaves_no_call_waiting(loop):
    """Calls that were queued when the loop ended, and later ones, fail with EngineClosedError."""
    engine = loop._engine
    engine.gate.clear()
    engine.steps_left = 1
    loop.notify()
    late = loop.call(lambda: 1) if loop.call(lambda: 0).result(10) == 0 else None
    stopping = threading.Thread(target=loop.stop)
    stopping.start()
    wait_until(lambda: loop._is_stopping)
    engine.gate.set()
    stopping.join(10)
    for future in (late, loop.call(lambda: 2)):
        with pytest.raises(EngineClosedError):
            future.result(10)


def test_a_failure_ends_it(loop):
    """An error of a step is kept, told, and ends the thread."""
    loop._engine.fail = RuntimeError("broken")
    loop._engine.steps_left = 1
    loop.notify()
    wait_until(lambda: loop.error)
    loop._thread.join(10)
    assert loop._listener.told == [loop.error]
    with pytest.raises(EngineClosedError):
        loop.call(lambda: 1).result(10)


def test_a_caller_may_give_up(loop):
    """A call whose future was cancelled is left out, and the loop goes on."""
    loop._engine.gate.clear()
    loop._engine.steps_left = 1
    loop.notify()
    ran = []
    given_up = loop.call(lambda: ran.append("given up"))
    assert given_up.cancel()
    loop._engine.gate.set()
    assert loop.call(lambda: "here").result(10) == "here"
    assert (ran, loop.error) == ([], None)
