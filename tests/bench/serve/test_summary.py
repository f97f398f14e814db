import statistics

import pytest

from longreach.bench.serve.client import RequestRecord
from longreach.bench.serve.summary import details, summarise
from longreach.bench.serve.table import load_rows


def record(*times_s, started_s=0.0, prompt=10, error=""):
    return RequestRecord(
        started_s=started_s,
        times_s=list(times_s),
        num_prompt_tokens=prompt,
        num_output_tokens=len(times_s),
        error=error,
    )


RECORDS = [record(1.0, 1.1, 1.3), record(3.0, 3.2, started_s=1.0), record(error="refused")]


def test_counts_and_rates():
    """Failed requests are counted, and nothing of them goes into the rates."""
    figures = summarise(RECORDS, 4.0)
    assert (figures["completed"], figures["failed"], figures["duration"]) == (2, 1, 4.0)
    assert (figures["total_input_tokens"], figures["total_output_tokens"]) == (20, 5)
    assert figures["request_throughput"] == 0.5
    assert figures["output_throughput"] == 1.25
    assert figures["total_token_throughput"] == 6.25


def test_times_by_hand():
    """Each metric is what its name says, in milliseconds."""
    figures = summarise(RECORDS, 4.0)
    assert figures["mean_ttft_ms"] == pytest.approx(1500)
    assert figures["median_e2el_ms"] == pytest.approx((1300 + 2200) / 2)
    itls = [100, 200, 200]
    assert figures["mean_itl_ms"] == pytest.approx(statistics.mean(itls))
    assert figures["std_itl_ms"] == pytest.approx(statistics.pstdev(itls))
    assert figures["mean_tpot_ms"] == pytest.approx((150 + 200) / 2)
    assert figures["p50_tpot_ms"] == figures["median_tpot_ms"]
    assert figures["p90_ttft_ms"] == pytest.approx(1000 + 0.9 * 1000)


def test_names_follow_the_choice():
    """Only the metrics and percentiles asked for, spelled as vLLM spells them."""
    figures = summarise(RECORDS, 4.0, metrics=("ttft",), percentiles=(99, 99.9))
    timed = {name for name in figures if name.endswith("_ms")}
    assert timed == {
        "mean_ttft_ms",
        "median_ttft_ms",
        "std_ttft_ms",
        "p99_ttft_ms",
        "p99.9_ttft_ms",
    }
    titles = [title for title, _ in load_rows(figures, ("ttft",), (99, 99.9))]
    assert "Time to first token, p99.9 (ms)" in titles


def test_an_answer_of_one_token_has_no_time_per_token():
    """It counts for the first token alone."""
    figures = summarise([record(1.0)], 1.0)
    assert (figures["mean_tpot_ms"], figures["mean_itl_ms"]) == (0.0, 0.0)
    assert figures["mean_ttft_ms"] == 1000


def test_details_keep_the_order_of_the_prompts():
    """A request that failed keeps its place."""
    told = details(RECORDS)
    assert told["output_lens"] == [3, 2, 0]
    assert told["ttfts"] == [1.0, 2.0, 0.0]
    assert told["errors"] == ["", "", "refused"]
