"""The benchmark harness, with engines that are a dozen lines of Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from longreach.bench import plan, run, table
from longreach.bench.shapes import SHAPES, Shape, write_random_checkpoint
from longreach.bench.worker import Worker, WorkerError

TINY = Shape(
    name="tiny",
    hidden_size=32,
    intermediate_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    vocab_size=64,
)
FAKE_ENGINE = """
import json, sys
print("chatter that is not a reply")
for line in sys.stdin:
    question = json.loads(line)
    print(question["op"], question.get("tokens"))
    if question["op"] == "hello":
        reply = {"version": "1"}
    elif question["tokens"] > 5000:
        reply = {"error": "too long"}
    else:
        reply = {"seconds": 1.0, "tokens_per_s": SPEED, "peak_bytes": 2**30}
    print("@reply " + json.dumps(reply), flush=True)
"""


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, speed in (("fast", 300.0), ("slow", 100.0)):
        (tmp_path / f"{name}.py").write_text(FAKE_ENGINE.replace("SPEED", str(speed)))
    engines = (
        plan.EngineSpec(name="longreach", script="fast.py", is_ours=True),
        plan.EngineSpec(name="peer", script="slow.py"),
        plan.EngineSpec(name="absent", script="slow.py", python="LONGREACH_NO_SUCH_VARIABLE"),
    )
    monkeypatch.setattr(plan, "ENGINES", engines)
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    return tmp_path


def run_fakes(scripts: Path, prefill: tuple[int, ...]) -> dict[str, object]:
    return run.run_benchmarks(
        scripts=scripts,
        work=scripts / "work",
        shape="tiny",
        prefill=prefill,
        decode=(512,),
        report=lambda _: None,
    )


def test_engines_are_measured_in_turn_and_ratios_are_taken_in_pairs(fakes: Path) -> None:
    """Every installed engine has a row per case, and the peer's row holds ours over it."""
    result = run_fakes(fakes, (1024,))
    found = [(row["op"], row["engine"], row["tokens_per_s"]) for row in result["rows"]]
    assert found == [
        ("prefill", "longreach", 300.0),
        ("prefill", "peer", 100.0),
        ("decode", "longreach", 300.0),
        ("decode", "peer", 100.0),
    ]
    assert [line[4] for line in table.rows_of(result)] == ["", "dense 3.00x", "", "dense 3.00x"]
    assert "| prefill | 1,024 | peer | 100.0 | dense 3.00x | 1.00 |" in table.markdown(result)


def test_an_engine_is_warmed_before_it_is_measured(fakes: Path) -> None:
    """A first prefill and a first decode, which build what later ones find, are not counted."""
    run_fakes(fakes, (1024,))
    asked = (fakes / "work" / "longreach.log").read_text().split("\n")[1:6]
    first = ["hello None", "prefill 256", "decode 256"]
    assert asked[:3] == first
    assert asked[3] == "prefill 1024"


def test_a_ratio_of_two_rounds_is_their_mean() -> None:
    """The median of an even number of pairs lies between the two in the middle, whoever wins."""
    rows = [
        {"op": "decode", "tokens": 512, "engine": name, "tokens_per_s": 1.0, "samples": samples}
        | {"peak_bytes": 0, "ceiling_share": None}
        for name, samples in (("longreach", [10.0, 30.0]), ("peer", [10.0, 10.0]))
    ]
    assert [line[4] for line in table.rows_of({"rows": rows})] == ["", "dense 2.00x"]


def test_an_engine_that_fails_is_named_and_the_others_go_on(fakes: Path) -> None:
    """A failure at one length is written down with its message and costs no other row."""
    result = run_fakes(fakes, (1024, 8192))
    assert result["failures"] == {
        "longreach prefill 8192": "longreach: too long",
        "peer prefill 8192": "peer: too long",
    }
    assert len(result["rows"]) == 4


def test_a_process_that_dies_is_reported_with_the_tail_of_its_log(tmp_path: Path) -> None:
    """An engine that ends at once gives a WorkerError that quotes its last words."""
    script = tmp_path / "dead.py"
    script.write_text("raise SystemExit('no such library')")
    argv = [sys.executable, script]
    with (
        Worker("dead", argv, tmp_path / "log") as worker,
        pytest.raises(WorkerError, match="no such library"),
    ):
        worker.ask(op="hello")


def test_results_survive_a_round_trip_through_json(fakes: Path, tmp_path: Path) -> None:
    """What is saved is what was measured."""
    result = run_fakes(fakes, (1024,))
    run.save(result, tmp_path / "out" / "bench.json")
    assert json.loads((tmp_path / "out" / "bench.json").read_text()) == result


def test_random_checkpoint_has_every_tensor_of_the_shape(tmp_path: Path) -> None:
    """Transformers finds every weight it wants in a random checkpoint, and no other."""
    transformers = pytest.importorskip("transformers")
    directory = write_random_checkpoint(TINY, tmp_path / "tiny")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory, output_loading_info=True
    )
    assert model.config.num_hidden_layers == TINY.num_layers
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_a_shape_can_be_run_with_fewer_layers(fakes: Path) -> None:
    """The checkpoint has that many, lies in a folder of its own, and the result says so."""
    result = run.run_benchmarks(
        scripts=fakes,
        work=fakes / "work",
        shape="tiny",
        layers=1,
        prefill=(1024,),
        decode=(),
        report=lambda _: None,
    )
    assert result["shape"]["num_layers"] == 1
    assert result["shape"]["name"] == "tiny-1-layers"
    config = json.loads((fakes / "work" / "tiny-1-layers" / "config.json").read_text())
    assert config["num_hidden_layers"] == 1


def test_dense_prefill_flops_by_hand() -> None:
    """One token of the tiny shape: 2 layers x (2 x weights + 4 x heads x head_dim x 1 key)."""
    weights = 32 * (4 + 4) * 8 + 32 * 32 + 3 * 32 * 64
    assert run.dense_prefill_flops(TINY, 1) == 2 * (2 * weights + 4 * 4 * 8)
