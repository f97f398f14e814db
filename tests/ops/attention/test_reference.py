import numpy as np
import pytest
import torch

from longreach.ops.dca import DualChunk
from longreach.ops.pattern import GroupPattern, keep_mask
from oracles import dual_chunk
from support.attention import random_problem


def brute(problem, chunk, local, cap, allowed=None):
    n = problem.n
    out, lse = dual_chunk.attention(
        *(x.double().numpy() for x in (problem.q, problem.k, problem.v)),
        dual_chunk.distances(n, chunk, local, cap),
        problem.inv_freq.numpy(),
        dual_chunk.temperatures(n, problem.trained, problem.mode, n),
        allowed=allowed,
        attention_factor=problem.attention_factor,
    )
    return torch.from_numpy(out), torch.from_numpy(lse)


@pytest.mark.parametrize("mode", ["position", "length", "off"])
@pytest.mark.parametrize(("chunk", "local"), [(16, 5), (13, 4), (9, 8)])
@pytest.mark.parametrize("less", [0, 1])
def test_the_reference_is_the_brute_force_oracle(chunk, local, less, mode):
    """Output and LSE equal numpy to 1e-12: three chunks, both caps, odd W, every mode."""
    n, cap = 3 * (chunk - local) + 2, chunk - less
    if cap < chunk - local - 1:
        pytest.fail("the sizes above do not make sense")
    problem = random_problem(
        n, 4, 2, 8, DualChunk(chunk - local, cap), dtype=torch.float64,
        trained=7, mode=mode, attention_factor=1.2,
    )  # fmt: skip
    for found, want in zip(problem.reference(), brute(problem, chunk, local, cap), strict=True):
        torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-12)


def test_the_sparse_reference_is_the_brute_force_oracle():
    """With a pattern, exactly its keys count: the mask, the reference and brute force agree."""
    n, tile = 40, 8
    problem = random_problem(n, 4, 2, 8, DualChunk(12, 15), dtype=torch.float64)
    patterns = [([0, 3, 17], [0, 2]), ([5, 30], [0, 1, 4])]
    allowed = np.stack([dual_chunk.kept_keys(n, c, d, tile) for c, d in patterns])
    masks = torch.stack(
        [
            keep_mask(
                GroupPattern(columns=torch.tensor(c), tile_diagonals=torch.tensor(d), tile=tile),
                torch.arange(n), n,
            )
            for c, d in patterns
        ]
    )  # fmt: skip
    assert np.array_equal(masks.numpy(), allowed)
    want = brute(problem, 16, 4, 15, allowed)
    for found, expected in zip(problem.reference(masks), want, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_rows_without_keys_give_nothing():
    """A row that keeps no key has output 0 and LSE -inf."""
    problem = random_problem(3, 2, 1, 4, DualChunk.plain())
    nothing = torch.zeros(1, 3, 3, dtype=torch.bool)
    out, lse = problem.reference(nothing)
    assert out.eq(0).all()
    assert lse.eq(-torch.inf).all()


@pytest.mark.parametrize("mode", ["position", "length", "off"])
def test_the_fast_truth_is_the_reference(mode):
    """The three rotations that other tests compare with say what the reference says."""
    problem = random_problem(
        50, 4, 2, 8, DualChunk(12, 15), dtype=torch.float64, trained=7, mode=mode,
        attention_factor=1.2,
    )  # fmt: skip
    allowed = torch.rand(2, 50, 50) < 0.5
    allowed[:, :, 0] = True
    for mask in (None, allowed):
        for found, want in zip(problem.truth(mask), problem.reference(mask), strict=True):
            torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-12)
