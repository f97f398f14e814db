import math

import pytest
import torch

from longreach.errors import ShapeError
from longreach.ops.rope import cos_sin, rotate


def test_scores_depend_on_the_distance_alone():
    """<R(a) q, R(b) k> is a function of a - b, to float32 rounding even a million tokens in."""
    inv_freq = 1e6 ** -(torch.arange(0, 64, 2, dtype=torch.float64) / 64)
    q, k = torch.randn(2, 1, 64)
    near = [rotate(x, *cos_sin(torch.tensor([p]), inv_freq)) for x, p in ((q, 900), (k, 200))]
    far = [rotate(x, *cos_sin(torch.tensor([p]), inv_freq)) for x, p in ((q, 10**6), (k, 999300))]
    assert float(near[0] @ near[1].T) == pytest.approx(float(far[0] @ far[1].T), abs=2e-5)


def test_halves_are_turned_as_hugging_face_does():
    """Dimension x pairs with x + H / 2, and position p turns it by p * w_x counter-clockwise."""
    tables = cos_sin(torch.tensor([3]), torch.tensor([0.5, 0.25], dtype=torch.float64))
    turned = rotate(torch.tensor([[1.0, 0.0, 0.0, 2.0]]), *tables)[0]
    want = [math.cos(1.5), -2 * math.sin(0.75), math.sin(1.5), 2 * math.cos(0.75)]
    assert turned.tolist() == pytest.approx(want)


def test_one_row_of_tables_serves_all_rows():
    """A table of one row turns every row of x alike, with and without a head dimension."""
    tables = cos_sin(torch.tensor([7]), torch.rand(4, dtype=torch.float64))
    x = torch.randn(5, 3, 8)
    turned = rotate(x, *tables)
    assert torch.equal(turned[:, 1], rotate(x[:, 1], *tables))
    assert turned.dtype == x.dtype


def test_bfloat16_is_rounded_once():
    """Half precision is rotated in float32 and rounded at the end."""
    tables = cos_sin(torch.arange(6), torch.rand(8, dtype=torch.float64))
    x = torch.randn(6, 2, 16).bfloat16()
    assert torch.equal(rotate(x, *tables), rotate(x.float(), *tables).bfloat16())


@pytest.mark.parametrize("shape", [(5, 2, 6), (4, 2, 8)])
def test_tables_must_fit(shape):
    """Another head dim or row count than the tables' is a ShapeError with both shapes."""
    tables = cos_sin(torch.arange(5), torch.rand(4, dtype=torch.float64))
    with pytest.raises(ShapeError, match="tables are"):
        rotate(torch.zeros(shape), *tables)
