import math

import pytest
import torch

from longreach.ops.dca import temperature


@pytest.mark.parametrize(
    ("seen", "factor"),
    [
        (1, 1.0),
        (262144, 1.0),
        (524288, 1.06931),
        (10**6, 1.13389),
        (1010000, 1.13488),
        (2**20, 1.13863),
    ],
)
def test_figures_of_the_1m_models(seen, factor):
    """f at T0 = 262144 is what the report's formula gives."""
    found = temperature(torch.tensor([seen - 1]), 262144, "position")
    assert float(found) == pytest.approx(factor, abs=1e-5)


def test_length_mode_gives_all_rows_the_requests_factor():
    """In length mode the factor is f(request length), whatever the row."""
    found = temperature(torch.tensor([0, 5, 99]), 100, "length", 1000)
    assert found.tolist() == pytest.approx([0.1 * math.log(10) + 1] * 3)


@pytest.mark.parametrize(("trained", "mode"), [(0, "position"), (0, "length"), (10, "off")])
def test_off_is_one(trained, mode):
    """No trained length, or mode off: every factor is 1."""
    assert temperature(torch.arange(1000), trained, mode, 1000).eq(1).all()


def test_a_row_never_depends_on_the_prompt():
    """By position, the first rows' factors are the same for a short and a long prompt."""
    long = temperature(torch.arange(900), 64, "position")
    assert torch.equal(long[:100], temperature(torch.arange(100), 64, "position"))


def test_bad_modes_are_refused():
    """An unknown mode, and length mode without a length, are errors."""
    with pytest.raises(ValueError, match="mode"):
        temperature(torch.arange(3), 10, "sometimes")
    with pytest.raises(ValueError, match="length"):
        temperature(torch.arange(3), 10, "length")
