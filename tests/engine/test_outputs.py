"""Metrics and progress: small things that are easy to get wrong."""

import signal
import threading

import pytest
import torch

from longreach.engine.interrupt import InterruptFlag
from longreach.engine.metrics import AttentionStats, PeakMemory, RequestClock, make_metrics
from longreach.engine.outputs import CompletionOutput
from longreach.engine.progress import ProgressMeter, Reading


def test_statistics_weigh_by_rows():
    """Recall is a mean over rows, dense ones counting 1; the minimum is over heads and segments."""
    stats = AttentionStats()
    stats.add_recall(torch.tensor([0.5, 0.9]), rows=100)
    stats.add_dense(100)
    assert stats.recall_min == pytest.approx(0.5)
    assert stats.recall_mean == pytest.approx((0.7 * 100 + 100) / 200)
    stats.add_prefix(0.4, 0.8, rows=200)
    assert stats.recall_min == 0.4
    assert stats.recall_mean == pytest.approx((0.7 * 100 + 100 + 0.8 * 200) / 400)


def test_merging_is_counting_together():
    """Statistics of two steps merge to what one would have counted."""
    one, other, both = AttentionStats(), AttentionStats(), AttentionStats()
    for stats in (one, both):
        stats.add_recall(torch.tensor([0.9]), rows=10)
        stats.add_pairs(5, 10)
    for stats in (other, both):
        stats.add_dense(30)
        stats.add_pairs(30, 30)
    one.merge(other)
    assert one == both
    assert one.density == pytest.approx(35 / 40)


def test_nothing_measured_means_dense():
    """Before anything ran, recall and density are 1 and rates unknown."""
    metrics = make_metrics(
        RequestClock(),
        AttentionStats(),
        num_prompt_tokens=5,
        num_cached_tokens=0,
        num_generated_tokens=0,
        num_preemptions=0,
        peak_bytes=0,
    )
    assert (metrics.recall_min, metrics.recall_mean, metrics.density) == (1.0, 1.0, 1.0)
    assert (metrics.ttft_s, metrics.prefill_tokens_per_s, metrics.decode_tokens_per_s) == (
        None,
    ) * 3


def test_rates_follow_the_clock():
    """Prefill counts from the first step to the first token, decode the tokens after it."""
    clock = RequestClock(
        arrival_s=10.0, first_step_s=11.0, first_token_s=13.0, last_token_s=17.0, num_tokens=9
    )
    assert clock.ttft_s == 3.0
    assert clock.prefill_rate(200) == pytest.approx(100.0)
    assert clock.prefill_rate(0) is None
    assert clock.decode_rate == pytest.approx(2.0)


def test_the_peak_follows_an_allocation():
    """After a reset, the peak covers what was touched since, even when it was given back."""
    peak = PeakMemory(torch.device("cpu"))
    peak.reset()
    before = peak.read()
    block = bytearray(b"\1") * (64 * 2**20)
    del block
    assert peak.read() >= before
    assert peak.read() > 32 * 2**20


def test_progress_survives_preemption_and_ends():
    """A prompt that is read again is not reported again; one that ended counts as read."""
    readings = {"a": Reading(0, 100, 0), "b": Reading(0, 50, 0)}
    calls = []
    meter = ProgressMeter(lambda *call: calls.append(call), readings, readings.get)
    for a, b in ((40, 0), (10, 0), (60, 10), (100, 50)):
        readings = {"a": Reading(a, 100, 0), "b": Reading(b, 50, 0)}
        meter._look = readings.get
        meter()
    meter._look = lambda _: None
    meter()
    assert [call[0] for call in calls] == [40, 70, 150]
    assert {call[1] for call in calls} == {150}
    assert calls[-1][3] == 0.0
    assert calls[0][3] > 0


def test_a_second_interrupt_is_not_held_back():
    """The first SIGINT is kept for the poll, the second raises, and the handler is given back."""
    with InterruptFlag() as flag:
        signal.raise_signal(signal.SIGINT)
        assert flag.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        flag.raise_if_set()


def test_a_programs_own_handler_is_left_alone():
    """Where SIGINT is handled by the program, or in another thread, nothing is installed."""

    def own(number, frame):
        pass

    before = signal.signal(signal.SIGINT, own)
    try:
        with InterruptFlag():
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)
    seen = []

    def elsewhere():
        with InterruptFlag():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


def test_an_output_is_finished_by_its_reason():
    """`finished` follows finish_reason."""
    assert not CompletionOutput(index=0, text="", token_ids=()).finished
    assert CompletionOutput(index=0, text="", token_ids=(), finish_reason="stop").finished
