"""The memory plan is arithmetic: parts add up, grow with the tokens, and can be inverted."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longreach.config import DiskCacheConfig, EngineConfig, ModelConfig, RopeConfig, SparsePolicy
from longreach.engine.build import Overrides, longest_context, plan_engine, pool_tokens
from longreach.engine.memory import Footprint, fit_context
from longreach.errors import InvalidRequestError, MemoryPlanError

GIB = 2**30


def model(**changes):
    return ModelConfig(
        **{
            "architecture": "Qwen2ForCausalLM",
            "family": "qwen2",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_layers": 28,
            "num_heads": 28,
            "num_kv_heads": 4,
            "head_dim": 128,
            "vocab_size": 152064,
            "max_position_embeddings": 1_010_000,
            "rope": RopeConfig(theta=1e7),
        }
        | changes
    )


def footprint(*, weights=15 * GIB, runtime=GIB // 4, settings=None, **changes):
    return Footprint(
        model=model(**changes),
        engine=settings or EngineConfig(),
        dtype=torch.bfloat16,
        kv_dtype=torch.bfloat16,
        weight_bytes=weights,
        runtime_bytes=runtime,
    )


def test_kv_of_the_7b_model():
    """The 7B-1M model keeps 57344 bytes a token: 53.4 GiB for a million (report, section 5)."""
    assert footprint().kv_bytes_per_token == 57344
    assert footprint().plan(1_000_000).kv_cache / GIB == pytest.approx(53.4, abs=0.1)


def test_activations_do_not_grow_beyond_a_slice():
    """A step never holds more rows than a slice, so a longer prompt needs no more activations."""
    plans = [footprint().plan(n) for n in (32769, 65536, 1_000_000)]
    assert len({plan.activations for plan in plans}) == 1
    # One whole-prompt gate_up output alone would be 70.6 GiB.
    assert plans[-1].activations < 2 * GIB
    dense = [footprint().plan(n) for n in (4096, 32768)]
    assert dense[0].activations == dense[1].activations < plans[0].activations / 4


def test_selection_counts_only_where_it_runs():
    """Dense prompts reserve nothing for choosing patterns; sparse ones O(keys)."""
    off = footprint(settings=EngineConfig(sparse=SparsePolicy(mode="off")))
    assert off.plan(1_000_000).selection == 0
    assert footprint().plan(32768).selection == 0
    assert 0 < footprint().plan(1_000_000).selection < GIB // 2


@given(st.integers(1, 2_000_000), st.integers(0, 100_000))
def test_the_plan_is_monotone_and_adds_up(tokens, more):
    """More tokens never need less, and the total is the sum of the parts."""
    one, other = footprint().plan(tokens), footprint().plan(tokens + more)
    assert one.total == sum(one.parts.values()) <= other.total


@given(st.integers(0, 200 * GIB), st.integers(1, 1_010_000))
def test_fit_context_inverts_the_plan(available, longest):
    """The fitted context fits, and one token more would not (or is more than asked for)."""
    ours = footprint()
    fitted = fit_context(ours, available, longest)
    assert fitted == 0 or ours.plan(fitted).total <= available
    assert fitted == longest or ours.plan(fitted + 1).total > available


def test_auto_takes_what_is_free():
    """max_model_len="auto" is the model's own length where it fits, else what the memory holds."""
    whole, tokens = plan_engine(footprint(), Overrides(), 400 * GIB)
    assert tokens == 1_010_000
    assert whole.total <= 400 * GIB
    part, tokens = plan_engine(footprint(), Overrides(), 40 * GIB)
    assert 300_000 < tokens < 500_000
    assert part.total <= 40 * GIB


def test_a_plan_that_does_not_fit_says_so():
    """Weights that leave no page, or a context too long, raise MemoryPlanError with the numbers."""
    with pytest.raises(MemoryPlanError, match="not even one page") as caught:
        plan_engine(footprint(), Overrides(), 10 * GIB)
    assert caught.value.plan["weights"] == 15 * GIB
    settings = EngineConfig(max_model_len=1_000_000)
    with pytest.raises(MemoryPlanError, match="lower max_model_len") as caught:
        plan_engine(footprint(settings=settings), Overrides(), 40 * GIB)
    assert caught.value.needed > caught.value.available == 40 * GIB


def test_the_pool_has_room_for_others():
    """The pool holds the longest request and, memory allowing, as much again for others."""
    ours = footprint()
    assert pool_tokens(ours, Overrides(), 400 * GIB, 100_000) >= 200_000
    assert pool_tokens(ours, Overrides(num_kv_tokens=5000), 400 * GIB, 100_000) == 5000
    with pytest.raises(InvalidRequestError, match="num_kv_tokens"):
        pool_tokens(ours, Overrides(num_kv_tokens=0), 400 * GIB, 100_000)


@pytest.mark.parametrize(
    ("rope", "limit", "expected"),
    [
        (RopeConfig(), 32768, 32768),
        (
            RopeConfig(type="yarn", factor=4.0, original_max_position_embeddings=32768),
            32768,
            131072,
        ),
        (
            RopeConfig(type="yarn", factor=4.0, original_max_position_embeddings=32768),
            131072,
            131072,
        ),
        (RopeConfig(type="linear", factor=2.0), 4096, 8192),
        (RopeConfig(type="dynamic", factor=2.0, original_max_position_embeddings=4096), 4096, 8192),
    ],
)
def test_rope_scaling_extends_the_context(rope, limit, expected):
    """The longest context counts rope scaling once, whichever way the config spells it."""
    assert longest_context(model(rope=rope, max_position_embeddings=limit)) == expected


def test_longer_than_meant_is_logged(caplog):
    """A context beyond the checkpoint's is obeyed, with one warning that names both numbers."""
    settings = EngineConfig(max_model_len=5000)
    ours = footprint(settings=settings, max_position_embeddings=4096, weights=0)
    _, tokens = plan_engine(ours, Overrides(), 40 * GIB)
    assert tokens == 5000
    assert "5000 is more than the 4096" in caplog.text


def test_the_disk_cache_holds_what_it_writes_and_what_it_reads():
    """Two extents are read at once, and one that is larger than the queue waits all the same."""
    settings = EngineConfig(disk_cache=DiskCacheConfig(directory=Path("cache")))
    assert footprint().plan(1000).disk_queue == 0
    assert footprint(settings=settings).plan(1000).disk_queue == (64 + 2 * 16) * 2**20
    pages = replace(settings, page_size=2048)  # 112 MiB each, an extent of one page
    assert footprint(settings=pages).plan(1000).disk_queue == 3 * 2048 * 57344
