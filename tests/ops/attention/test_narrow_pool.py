"""Pages may hold fewer bits than the computation: they are widened tile by tile, nothing else."""

import pytest
import torch

from longreach.ops.attention import torch_rows
from longreach.ops.dca import DualChunk
from longreach.ops.pattern import GroupPattern, Pattern
from support.attention import attend, random_problem

SMALL = DualChunk(160, 197)
GROUP = GroupPattern(
    columns=torch.tensor([0, 1, 2, 40, 77, 260, 301]), tile_diagonals=torch.tensor([0, 1]), tile=128
)
PATTERN = Pattern((GROUP, None))


@pytest.mark.parametrize("pattern", [None, PATTERN], ids=["dense", "sparse"])
@pytest.mark.parametrize("cuts", [(), (1, 160, 400)], ids=["one slice", "slices"])
@pytest.mark.parametrize("shuffle", [None, 3], ids=["in order", "scattered"])
def test_equals_the_same_pages_widened(pattern, cuts, shuffle):
    """float32 attention over bf16 pages is float32 attention over the same numbers, to the bit."""
    problem = random_problem(500, 4, 2, 32, SMALL)
    options = {"page": 16, "shuffle": shuffle, "pattern": pattern, "pool_dtype": torch.bfloat16}
    out, lse = attend(problem, cuts, **options)
    wide_out, wide_lse = attend(problem, cuts, widen=True, **options)
    assert out.dtype == torch.float32
    assert torch.equal(out, wide_out)
    assert torch.equal(lse, wide_lse)


@pytest.mark.parametrize("piece", [7, 64, 2**15])
@pytest.mark.parametrize("rows", [1, 2, 90])
def test_few_rows_meet_their_keys_in_pieces(monkeypatch, rows, piece):
    """However many keys of a narrow pool are widened at once, the rows are the same."""
    monkeypatch.setattr(torch_rows, "CONVERTED_BYTES", piece * 2 * 32 * 4)
    problem = random_problem(400, 4, 2, 32, SMALL)
    options = {"cuts": [400 - rows], "only_last": True, "pool_dtype": torch.bfloat16}
    out, lse = attend(problem, **options)
    wide_out, wide_lse = attend(problem, widen=True, **options)
    assert len(out) == rows
    torch.testing.assert_close(out, wide_out, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(lse, wide_lse, atol=1e-6, rtol=1e-5)
