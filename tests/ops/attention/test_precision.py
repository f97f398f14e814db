import math

import pytest
import torch

from longreach.ops.dca import DualChunk
from longreach.ops.rope import cos_sin, rotate
from support.attention import attend, random_problem, worst

pytestmark = pytest.mark.usefixtures("dense_twin")

GEOMETRY = DualChunk(200, 230)


def margin(dtype):
    """Times plain torch's worst element: float32 noise is luck, half precision is not."""
    return 2.0 if dtype is torch.float32 else 1.5


def plain_torch(problem):
    """The same said plainly in the problem's own dtype (transformers' eager attention)."""
    n, heads, dim = problem.q.shape
    rows = torch.arange(n)
    position = problem.geometry.query_positions(rows)
    share = heads // problem.k.shape[1]
    keys = rotate(problem.k, *cos_sin(problem.geometry.key_position(rows), problem.inv_freq))
    keys, values = (x.repeat_interleave(share, dim=1).transpose(0, 1) for x in (keys, problem.v))
    gap = rows[:, None] // problem.geometry.chunk_len - rows[None, :] // problem.geometry.chunk_len
    logits = torch.zeros(heads, n, n, dtype=problem.q.dtype)
    for at, place in enumerate(position):
        q = rotate(problem.q, *cos_sin(place, problem.inv_freq)).transpose(0, 1)
        part = (q @ keys.transpose(1, 2)) * (1 / math.sqrt(dim))
        logits = torch.where(gap.clamp(max=2) == at, part, logits)
    logits = logits.masked_fill((rows[None, :] > rows[:, None]), -math.inf)
    weights = torch.softmax(logits.float(), dim=-1).to(problem.q.dtype)
    return (weights @ values).transpose(0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("q_scale", [0.3, 1.0, 4.0, 12.0])
def test_no_less_precise_than_plain_torch(dtype, q_scale):
    """Mean and worst error against float64 are at most plain torch's in the same dtype."""
    problem = random_problem(700, 4, 2, 64, GEOMETRY, dtype=dtype, q_scale=q_scale)
    true_out, _ = problem.truth()
    ours, _ = attend(problem, [300])
    theirs = plain_torch(problem)
    slack = 2 * torch.finfo(dtype).eps
    assert worst("ours", ours, true_out) <= margin(dtype) * worst("plain", theirs, true_out) + slack
    mean = (ours.double() - true_out).abs().mean() / (theirs.double() - true_out).abs().mean()
    print(f"mean error over plain torch's: {mean:.3f}")
    bound = 2.0 if dtype is torch.float32 else 1.3
    assert mean < bound  # a tile's output and its row sums are rounded once more than there


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [60.0, 700.0, -700.0])
def test_huge_logits(dtype, bias):
    """A bias that adds hundreds to every logit, as Qwen2.5's keys have, changes nothing."""
    problem = random_problem(600, 4, 2, 64, DualChunk.plain(), dtype=dtype)
    problem.q[..., 31] = problem.q[..., 63] = 16.0  # the slowest pair: hardly turns
    problem.k[..., 31] = bias / 4
    true_out, true_lse = problem.truth()
    out, lse = attend(problem, [200, 599])
    theirs = plain_torch(problem)
    assert out.isfinite().all()
    slack = 2 * torch.finfo(dtype).eps
    assert worst("ours", out, true_out) <= margin(dtype) * worst("plain", theirs, true_out) + slack
    assert worst("lse", lse / true_lse.abs(), true_lse.sign()) < 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spread", [20.0, 100.0])
def test_maxima_that_grow_from_tile_to_tile(monkeypatch, dtype, spread):
    """Keys far from diagonal and sinks that dwarf all others are found wherever they are."""
    from longreach.ops.attention import slices

    monkeypatch.setattr(slices, "TARGET_SCORES", 128 * 256)
    problem = random_problem(900, 2, 1, 32, DualChunk(500, 560), dtype=dtype, q_scale=0.5)
    problem.q[..., 15] = problem.q[..., 31] = 8.0
    for at, size in ((100, 1), (300, 2), (420, 3), (640, 2)):
        problem.k[at, :, 15] = spread * size
    true_out, _ = problem.truth()
    out, _ = attend(problem, [700])
    theirs = plain_torch(problem)
    slack = 2 * torch.finfo(dtype).eps
    assert worst("ours", out, true_out) <= margin(dtype) * worst("plain", theirs, true_out) + slack


def test_nan_stays_in_its_rows():
    """A NaN query makes its own head's row NaN and no other."""
    problem = random_problem(300, 4, 2, 32, GEOMETRY)
    problem.q[250, 1, 5] = math.nan
    out, _ = attend(problem, [100])
    assert out[250, 1].isnan().all()
    out[250, 1] = 0
    assert out.isfinite().all()
