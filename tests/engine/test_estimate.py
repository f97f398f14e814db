"""The estimate: what it counts, not how fast this machine is."""

import pytest

from longreach import LLM
from longreach.config import EngineConfig, SparsePolicy
from longreach.engine import calibrate
from longreach.engine.calibrate import Rates
from longreach.engine.estimate import estimate_model, keys_per_row, prefill_seconds
from longreach.errors import ModelNotFoundError


@pytest.fixture(autouse=True)
def small_calibration(monkeypatch):
    """The trials at a size that costs nothing."""
    monkeypatch.setattr(calibrate, "NUM_KEYS", 1024)
    monkeypatch.setattr(calibrate, "DENSE_ROWS", 128)
    monkeypatch.setattr(calibrate, "SPARSE_ROWS", 512)
    monkeypatch.setattr(calibrate, "BUDGET", (128, 256))
    monkeypatch.setattr(calibrate, "LAYER_FLOPS", 1e6)


def test_an_estimate_needs_no_weights(make_checkpoint, tmp_path):
    """config.json alone is enough, and every number is there."""
    folder = make_checkpoint("qwen3")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    estimate = estimate_model(tmp_path, 100_000, EngineConfig(dtype="float32"))
    assert estimate.num_tokens == 100_000
    assert estimate.num_parameters > 0
    assert estimate.fits
    assert estimate.plan.kv_cache == 100_096 * 2 * 2 * 2 * 16 * 4  # full pages
    assert 0 < estimate.prefill_s <= estimate.dense_prefill_s
    assert estimate.decode_tokens_per_s > 0
    assert estimate.keys_per_row == 4096


def test_an_llm_estimates_itself(tiny_qwen2):
    """LLM.estimate uses the loaded model's settings: float32 doubles the cache of bfloat16."""
    plans = []
    for dtype in ("float32", "bfloat16"):
        with LLM(tiny_qwen2, dtype=dtype, sparse="off") as llm:
            estimate = llm.estimate(1024)
            plans.append(estimate.plan.kv_cache)
            assert estimate.keys_per_row is None
            assert estimate.prefill_s == estimate.dense_prefill_s
    assert plans[0] == 2 * plans[1]


def test_an_estimate_of_no_model(tmp_path):
    """A name that is no model is a ModelNotFoundError."""
    with pytest.raises(ModelNotFoundError):
        estimate_model(str(tmp_path / "none"), 100)


def test_prompts_that_stay_dense():
    """Short prompts, mode off and a full target are dense; a budget says its keys."""
    config = EngineConfig()
    assert keys_per_row(config, 32768) is None
    assert keys_per_row(config, 32769) == 4096
    assert keys_per_row(EngineConfig(sparse=SparsePolicy(mode="off")), 10**6) is None
    assert keys_per_row(EngineConfig(sparse=SparsePolicy(recall=1.0)), 10**6) is None
    budget = EngineConfig(sparse=SparsePolicy(budget=(100, 200)))
    assert keys_per_row(budget, 10**6) == 300


def test_time_grows_as_the_work_does(tiny_qwen2):
    """Dense time is quadratic; sparse time nearly linear, and never above dense."""
    with LLM(tiny_qwen2, dtype="float32") as llm:
        footprint = llm.engine.footprint
    rates = Rates(
        row_s=0.0,
        one_row_s=1e-3,
        pair_s=1e-9,
        kept_pair_s=1e-9,
        scored_pair_s=1e-9,
        one_row_key_s=1e-9,
    )
    dense = [prefill_seconds(footprint, rates, n, None) for n in (2**17, 2**18)]
    assert dense[1] / dense[0] == pytest.approx(4, rel=0.01)
    sparse = [prefill_seconds(footprint, rates, n, 4096) for n in (2**17, 2**18)]
    assert sparse[1] / sparse[0] < 2.7
    assert sparse[0] < dense[0]
    assert prefill_seconds(footprint, rates, 3000, 4096) == prefill_seconds(
        footprint, rates, 3000, None
    )
