import json

import pytest

from longreach.evals.demo import extrapolate, run_demo
from support.fake_engine import fake_reader


class Notes:
    """A view that only writes down what it is told."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *args: self.calls.append(name)


@pytest.fixture(scope="module")
def long_demo():
    notes = Notes()
    return run_demo(fake_reader(), notes, tokens=60_000), notes.calls


def test_every_needle_is_asked_for(long_demo):
    """What was planted and what a perfect reader found is the same."""
    result, _ = long_demo
    assert sorted(result.found) == sorted(p.needle.value for p in result.planted)
    assert 0.99 * 60_000 < result.prompt_tokens <= 60_000


def test_the_second_question_comes_from_the_cache(long_demo):
    """Nearly all of the second prompt was cached."""
    result, _ = long_demo
    second = result.as_json()["second_question"]
    assert second["num_cached_tokens"] > 0.99 * result.prompt_tokens
    assert second["ttft_s"] > 0
    assert second["found"]


def test_the_view_hears_the_steps_in_order(long_demo):
    """Document, then question, progress and answer in turn, dense at the end."""
    steps = [name for name in long_demo[1] if name != "on_progress"]
    turns = ["on_question", "on_answer"] * 4
    assert steps == ["on_document", *turns, "on_dense_start"]


def test_json_has_the_promised_keys(long_demo):
    """The result is plain data with the keys that scripts rely on."""
    data = json.loads(json.dumps(long_demo[0].as_json()))
    assert {"prompt_tokens", "planted", "found", "second_question", "metrics", "dense"} <= set(data)
    assert {"found", "num_cached_tokens", "ttft_s"} <= set(data["second_question"])


def test_dense_is_measured_short_and_extrapolated(long_demo):
    """The dense cost names the two lengths it was measured at."""
    dense = long_demo[0].dense
    assert [7_900 < n <= 8192 or 32_000 < n <= 32_768 for n, _ in dense.measured] == [True, True]
    assert dense.tokens == long_demo[0].prompt_tokens
    assert dense.seconds > 0


def test_a_short_demo_measures_no_dense():
    """A text that was read densely has nothing to be compared with."""
    assert run_demo(fake_reader(), Notes(), tokens=4096).dense is None


def test_own_text_is_the_haystack():
    """A text of one's own is used instead of the library's, cycled when it is short."""
    notes = fake_reader()
    run_demo(notes, Notes(), tokens=4096, text="Call me Ishmael.")
    assert notes.engine.prompts[0].count("Call me Ishmael.") > 50


def test_a_blind_reader_found_nothing():
    """Nothing is counted as found that is not in the answer."""
    assert run_demo(fake_reader(blind=True), Notes(), tokens=4096).found == ()


@pytest.mark.parametrize(("quadratic", "linear"), [(2e-9, 1e-5), (0.0, 1e-5), (2e-9, 0.0)])
def test_extrapolation_is_exact_on_its_model(quadratic, linear):
    """Two points of a·n² + b·n give the third."""
    cost = lambda n: quadratic * n**2 + linear * n  # noqa: E731
    points = [(n, cost(n)) for n in (8000, 32_000)]
    assert extrapolate(*points, 10**6) == pytest.approx(cost(10**6), rel=1e-6)


def test_noise_never_makes_a_negative_cost():
    """With a longer run that was relatively faster, the cost grows linearly and stays positive."""
    assert extrapolate((8000, 2.0), (32_000, 4.0), 10**6) == pytest.approx(125.0)
