import pytest
import torch

from longreach.ops.activation import silu_mul
from longreach.ops.activation.reference import silu_mul_reference


@pytest.mark.parametrize("shape", [(1, 2), (3, 126), (1000, 34), (0, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_silu_mul_equals_the_truth(shape, dtype):
    """Two roundings from float64: silu(gate), then the product; large inputs stay finite."""
    x = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 20).to(dtype)
    want = silu_mul_reference(x)
    for out in (None, torch.full((shape[0], shape[1] // 2), float("nan"), dtype=dtype)):
        got = silu_mul(x.clone(), out=out)
        tolerance = 4 * torch.finfo(dtype).eps
        assert ((got.double() - want).abs() <= tolerance * want.abs() + 1e-6).all()
