import json

import pytest

from longreach.cli import bench_runs as module
from support.fake_async_engine import FakeAsyncEngine
from support.serving import serving


@pytest.fixture
def url():
    with serving(lambda: FakeAsyncEngine(script="word " * 60)) as server:
        server.wait_until_ready()
        yield server.url


def test_a_load(run, url, tmp_path):
    """A table for people, and vLLM's field names in a file whose name says what it holds."""
    line = "bench serve --num-prompts 6 --random-input-len 300 --random-output-len 20"
    more = f"--base-url {url} --max-concurrency 2 --save-result --result-dir {tmp_path}"
    result = run(f"{line} {more}")
    assert result.exit_code == 0, result.output
    assert "Time to first token, p99 (ms)" in result.stdout
    [path] = tmp_path.iterdir()
    assert path.name.startswith("openai-chat-infqps-concurrency2-needle-")
    data = json.loads(path.read_text())
    assert (data["completed"], data["failed"], data["num_prompts"]) == (6, 0, 6)
    assert data["total_output_tokens"] == sum(data["output_lens"]) == 6 * 20
    assert data["total_input_tokens"] == pytest.approx(6 * 300, rel=0.1)
    assert data["model_id"] == "needle"
    for metric in ("ttft", "tpot", "itl", "e2el"):
        for name in ("mean", "median", "std", "p50", "p90", "p99"):
            assert data[f"{name}_{metric}_ms"] >= 0


def test_choices(run, url):
    """Metrics and percentiles are those asked for."""
    line = "bench serve --num-prompts 2 --random-input-len 50 --random-output-len 4 --json"
    more = f"--base-url {url} --percentile-metrics ttft --metric-percentiles 99.9 --backend openai"
    data = json.loads(run(f"{line} {more}").stdout)
    assert "p99.9_ttft_ms" in data
    assert "mean_tpot_ms" not in data
    assert data["backend"] == "openai"


def test_mixed(run, url, monkeypatch):
    """The mixed load tells the chats' p99 with and without, and the share of the prefill's rate."""
    monkeypatch.setattr(module, "ALONE_S", 0.1)
    result = run(f"bench serve --base-url {url} --mixed-prefill 1K --num-chats 2 --json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["num_chats"] == 2
    assert data["p99_itl_alone_ms"] > 0
    assert data["prefill_solo_tokens_per_s"] > 0


@pytest.mark.slow
def test_overhead(run, monkeypatch):
    """The server's time per token stands beside the bare engine's, round by round."""
    monkeypatch.setattr(module, "ROUNDS", 1)
    monkeypatch.setattr(module, "load_engine", lambda model, _: FakeAsyncEngine(script="a " * 99))
    result = run("bench serve --overhead --num-chats 2 --random-output-len 16 --json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    [only] = data["rounds"]
    assert only["engine_ms"] > 0
    assert data["overhead"] == pytest.approx(only["server_ms"] / only["engine_ms"] - 1)


@pytest.mark.parametrize(
    "flags",
    [
        "--dataset-name sharegpt",
        "--backend tgi",
        "--request-rate 0",
        "--percentile-metrics speed",
        "--metric-percentiles 101",
        "--metric-percentiles many",
        "--mixed-prefill much",
        "--base-url http://127.0.0.1:9",
    ],
)
def test_what_cannot_be_done(run, flags):
    """One line, exit code 2."""
    result = run(f"bench serve {flags}")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_bench_alone_is_what_it_was(run):
    """Without `serve`, the command measures engines, and checks its own flags."""
    result = run("bench --shape none")
    assert result.exit_code == 2
    assert "shape" in result.stderr
