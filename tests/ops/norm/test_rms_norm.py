import pytest
import torch

from longreach.ops.norm import rms_norm
from longreach.ops.norm.reference import rms_norm_reference


@pytest.mark.parametrize("shape", [(1, 64), (3, 1), (1000, 300), (7, 4, 24), (0, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rms_norm_equals_the_truth(shape, dtype):
    """One rounding from the float64 norm, over the last axis, in any number of blocks."""
    x = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3).to(dtype)
    weight = torch.rand(shape[-1], generator=torch.Generator().manual_seed(2)) + 0.5
    want = rms_norm_reference(x, weight, 1e-6)
    for out in (None, torch.full_like(x, float("nan"))):
        got = rms_norm(x, weight, 1e-6, out=out)
        assert got.dtype == dtype
        tolerance = {torch.float32: 1e-6, torch.bfloat16: torch.finfo(dtype).eps}[dtype]
        assert ((got.double() - want).abs() <= tolerance * want.abs() + 1e-9).all()


def test_rms_norm_reads_views_and_may_write_in_place():
    """Strided heads of a fused projection are read as they lie; out may be x."""
    x = torch.randn(9, 5, 8)
    view, weight = x[:, 1:3], torch.ones(8)
    want = rms_norm_reference(view, weight, 1e-6).float()
    torch.testing.assert_close(rms_norm(view, weight, 1e-6), want)
    torch.testing.assert_close(rms_norm(view, weight, 1e-6, out=view), want)
    torch.testing.assert_close(x[:, 1:3], want)


def test_rms_norm_of_zeros_is_zero():
    """eps keeps a row of zeros finite."""
    assert torch.equal(rms_norm(torch.zeros(2, 8), torch.ones(8), 1e-6), torch.zeros(2, 8))
