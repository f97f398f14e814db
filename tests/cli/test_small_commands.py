import json
from types import SimpleNamespace

import pytest

from longreach import __version__
from longreach.cli import bench as module


def test_version_names_what_it_runs_on(run):
    """longreach, Python and torch, a line each."""
    lines = run("version").stdout.splitlines()
    assert lines[0] == f"longreach {__version__}"
    assert any(line.startswith("torch 2.") for line in lines)


@pytest.fixture
def folder(tmp_path):
    """A model's config.json alone."""
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 1000,
        "max_position_embeddings": 4096,
        "rope_theta": 1e6,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "dual_chunk_attention_config": {
            "chunk_size": 512,
            "local_size": 128,
            "original_max_position_embeddings": 512,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_show_reads_the_config_alone(run, folder):
    """Sizes, attention and the price of a token, without weights."""
    result = run(["show", str(folder)])
    assert result.exit_code == 0, result.output
    assert "chunk size 512" in result.stdout
    assert "Qwen2ForCausalLM" in result.stdout
    data = json.loads(run(["show", str(folder), "--json"]).stdout)
    assert data["dual_chunk_attention"]["chunk_len"] == 384
    assert data["kv_bytes_per_token_bf16"] == 2 * 2 * 2 * 2 * 16


def test_show_cuts_nothing(run, folder, monkeypatch):
    """The directory is whole, however long and however narrow the terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    shown = run(["show", str(folder)]).stdout
    assert "…" not in shown
    assert str(folder) in "".join(shown.split())


def test_pull_prints_the_folder(run, monkeypatch, tmp_path):
    """Stdout is the directory, for scripts."""
    from longreach.models import pull

    def fake(model, *, source, revision):
        return tmp_path

    monkeypatch.setattr(pull, "pull", fake)
    result = run("pull owner/name --source modelscope")
    assert result.stdout.strip() == str(tmp_path)
    assert result.exit_code == 0


def test_bench_needs_a_checkout(run, monkeypatch, tmp_path):
    """Away from the repository the error says what is missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "bench.py"))
    result = run("bench")
    assert result.exit_code == 2
    assert "in a checkout of longreach" in result.stderr


def test_bench_prints_and_keeps_its_table(run, monkeypatch, tmp_path):
    """The plan comes from the options; the result is printed and written."""
    from longreach.bench import run as bench_run

    asked = {}

    def fake(**options):
        asked.update(options)
        row = {"op": "prefill", "tokens": 1024, "engine": "longreach", "tokens_per_s": 900.0}
        return {"rows": [{**row, "samples": [900.0], "peak_bytes": 2**30, "ceiling_share": 0.9}]}

    monkeypatch.setattr(bench_run, "run_benchmarks", fake)
    path = tmp_path / "out.json"
    result = run(f"bench --prefill 1K --decode 0 --engines longreach --output {path}")
    assert result.exit_code == 0, result.output
    assert (asked["prefill"], asked["decode"]) == ((1024,), ())
    assert "900.0" in result.stdout
    assert path.exists()


@pytest.fixture
def rates(monkeypatch):
    """A calibration that takes no time."""
    from dataclasses import fields

    from longreach.engine import estimate
    from longreach.engine.calibrate import Rates

    made_up = Rates(**{field.name: 1e-6 for field in fields(Rates)})
    calibration = SimpleNamespace(measure=lambda: made_up)
    monkeypatch.setattr(estimate, "Calibration", lambda *args: calibration)
    return estimate


def test_estimate_needs_the_config_alone(run, folder, rates):
    """Memory by part with its sum, time, and what was assumed; no weights are there to load."""
    result = run(["estimate", str(folder), "--tokens", "64K"])
    assert result.exit_code == 0, result.output
    for text in ("kv cache", "weights", "peak", "it fits", "first token after", "keeps"):
        assert text in result.stdout
    data = json.loads(run(["estimate", str(folder), "--tokens", "2K", "--json"]).stdout)
    assert data["planned_bytes"] == sum(data["plan"].values()) - data["plan"]["available"]
    assert data["keys_per_row"] is None


def test_estimate_says_when_a_model_is_not_made_for_the_length(run, folder, rates):
    """The longest context stands beside the memory that would do."""
    result = run(["estimate", str(folder), "--tokens", "2M"])
    assert result.exit_code == 0, result.output
    assert "too long" in result.stdout
    data = json.loads(run(["estimate", str(folder), "--tokens", "2M", "--json"]).stdout)
    assert data["num_tokens"] > data["longest_context"]
    assert data["fits"] is False


def test_estimate_says_what_does_not_fit(run, folder, rates, monkeypatch):
    """A plan larger than the machine is shown, not refused."""
    monkeypatch.setattr(rates, "plannable_bytes", lambda device: 2**20)
    result = run(["estimate", str(folder)])
    assert result.exit_code == 0, result.output
    assert "does not fit" in result.stdout
