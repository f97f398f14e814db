"""The estimate: what it counts, not how fast this machine is."""

import pytest
import torch

from longreach import LLM
from longreach.config import EngineConfig, SparsePolicy
from longreach.engine import calibrate
from longreach.engine.calibrate import Calibration, Rates
from longreach.engine.estimate import estimate_model
from longreach.engine.prefill_time import EASY, HARD, prefill_seconds, prefill_time, text_range
from longreach.errors import ModelNotFoundError
from longreach.ops.sparse import select_adaptive


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
    assert estimate.fits_memory
    assert estimate.plan.kv_cache == 100_096 * 2 * 2 * 2 * 16 * 4  # full pages
    least_s, most_s = estimate.prefill.least_s, estimate.prefill.most_s
    assert 0 < least_s <= estimate.prefill.expected_s <= most_s <= estimate.dense_prefill_s
    assert estimate.decode_tokens_per_s > 0
    assert estimate.keys_per_row == (222, 4096)


def test_an_llm_estimates_itself(tiny_qwen2):
    """LLM.estimate uses the loaded model's settings: float32 doubles the cache of bfloat16."""
    plans = []
    for dtype in ("float32", "bfloat16"):
        with LLM(tiny_qwen2, dtype=dtype, sparse="off") as llm:
            estimate = llm.estimate(1024)
            plans.append(estimate.plan.kv_cache)
            assert estimate.keys_per_row is None
            assert estimate.prefill.least_s == estimate.prefill.most_s
            assert estimate.prefill.most_s == estimate.dense_prefill_s
    assert plans[0] == 2 * plans[1]


def test_an_estimate_of_no_model(tmp_path):
    """A name that is no model is a ModelNotFoundError."""
    with pytest.raises(ModelNotFoundError):
        estimate_model(str(tmp_path / "none"), 100)


def test_prompts_that_stay_dense():
    """Short prompts, mode off and a full target are dense; a budget says its keys."""
    config = EngineConfig()
    assert text_range(config, 32768) is None
    assert text_range(config, 32769) == (EASY, HARD)
    assert text_range(EngineConfig(sparse=SparsePolicy(mode="off")), 10**6) is None
    assert text_range(EngineConfig(sparse=SparsePolicy(recall=1.0)), 10**6) is None
    easy, hard = text_range(EngineConfig(sparse=SparsePolicy(budget=(100, 200))), 10**6)
    assert easy == hard
    assert easy.keys == 300


@pytest.fixture
def footprint(tiny_qwen2):
    """Of a small model in float32."""
    with LLM(tiny_qwen2, dtype="float32") as llm:
        return llm.engine.footprint


@pytest.fixture
def rates():
    """A machine that does a billion pairs a second."""
    return Rates(
        row_s=0.0,
        one_row_s=1e-3,
        pair_s=1e-9,
        kept_pair_s=1e-9,
        choice_s=0.0,
        scored_pair_s=1e-9,
        one_row_key_s=1e-9,
    )


def test_time_grows_as_the_work_does(footprint, rates):
    """Dense time is quadratic; sparse time nearly linear, and never above dense."""
    dense = [prefill_seconds(footprint, rates, n, None) for n in (2**17, 2**18)]
    assert dense[1] / dense[0] == pytest.approx(4, rel=0.01)
    sparse = [prefill_seconds(footprint, rates, n, HARD) for n in (2**17, 2**18)]
    assert sparse[1] / sparse[0] < 2.7
    assert sparse[0] < dense[0]
    assert prefill_seconds(footprint, rates, 3000, HARD) == prefill_seconds(
        footprint, rates, 3000, None
    )


def test_an_easy_text_is_read_sooner(footprint, rates):
    """Fewer keys kept and fewer rows scored; what is told lies between the easy and the hard."""
    time = prefill_time(footprint, rates, 2**18, (EASY, HARD))
    assert 10 * time.least_s < time.most_s
    assert time.expected_s == pytest.approx((time.least_s * time.most_s) ** 0.5)


def test_a_choice_is_priced_where_there_is_something_to_find(footprint):
    """The made-up keys have targets, so the trials choose patterns and do not go dense."""
    trial = Calibration(footprint.model, footprint.dtype, torch.device("cpu"))
    meta = trial._slice(512, 512)
    with torch.inference_mode():
        found = select_adaptive(trial.queries_TNH[:512], trial.pool.k[0], meta, target=0.95)
    assert not found.pattern.is_dense
    targets = set(range(0, 1024, 1024 // 64))
    for group in found.pattern.groups:
        assert targets <= set(group.columns.tolist()) | set(range(512, 1024))


def test_a_length_beyond_the_model_does_not_fit(make_checkpoint):
    """Memory may hold it; the model was not made for it."""
    folder = make_checkpoint("qwen2")
    longest = estimate_model(folder, 1).longest_context
    assert estimate_model(folder, longest).fits
    too_long = estimate_model(folder, longest + 1)
    assert (too_long.fits_memory, too_long.fits_model, too_long.fits) == (True, False, False)
