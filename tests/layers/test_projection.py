import logging

import pytest
import torch

from longreach.layers import projection
from longreach.layers.projection import choose_form, make_projection, stack
from longreach.ops.attention import AttentionScratch
from longreach.ops.linear import packing_unsupported
from longreach.ops.linear.int8 import FEW_ROWS

CPU = torch.device("cpu")
INPUTS, OUTPUTS = 48, 40
FORMS = [("plain", torch.float32), ("plain", torch.bfloat16), ("int8", torch.bfloat16)]
FORMS += [("int8", torch.float32)]
if packing_unsupported(torch.bfloat16, CPU) is None:
    FORMS.append(("packed", torch.bfloat16))


def make(form, dtype, *, bias=True, gated=False):
    rng = torch.Generator().manual_seed(3)
    parts = [torch.randn(n, INPUTS, generator=rng) * 0.2 for n in (24, 24 if gated else 16)]
    vector = torch.randn(OUTPUTS, generator=rng).to(dtype) if bias else None
    made = make_projection(parts, vector, form=form, dtype=dtype, device=CPU, gated=gated)
    return made, made.plain_weight().double(), vector


def error(got, want):
    return float((got.double() - want).norm() / want.norm())


@pytest.mark.parametrize(("form", "dtype"), FORMS)
@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, 70])
def test_every_form_has_the_same_three_uses(form, dtype, rows):
    """forward, add_to and gated agree with float64 on the form's own weight, few rows or many."""
    scratch, eps = AttentionScratch(), 4 * torch.finfo(dtype).eps
    x = torch.randn(rows, INPUTS).to(dtype)
    made, weight, bias = make(form, dtype)
    bound = made.bind(rows, "weight", scratch)
    want = x.double() @ weight.t() + bias.double()
    assert error(bound.forward(x, scratch), want) <= eps
    residual = torch.randn(rows, OUTPUTS).to(dtype)
    want = want + residual.double()
    bound.add_to(residual, x, scratch)
    assert error(residual, want) <= eps
    made, weight, _ = make(form, dtype, bias=False, gated=True)
    gate, up = (x.double() @ half.t() for half in weight.chunk(2))
    got = made.bind(rows, "weight", scratch).gated(x, scratch)
    assert error(got, gate * gate.sigmoid() * up) <= 2 * eps


@pytest.mark.parametrize(("form", "dtype"), FORMS)
def test_a_projection_keeps_the_weights_it_was_given(form, dtype):
    """plain_weight is the stacked weight: exactly, or within half an int8 step."""
    _, weight, _ = make(form, dtype, bias=False, gated=True)
    rng = torch.Generator().manual_seed(3)
    given = torch.cat([torch.randn(24, INPUTS, generator=rng) * 0.2 for _ in range(2)])
    tolerance = float(given.abs().max()) / 127 if form == "int8" else 0.0
    given = given if form == "int8" else given.to(dtype)
    torch.testing.assert_close(weight, given.double(), rtol=0, atol=tolerance)


def test_int8_reads_bytes_for_few_rows_and_dequantises_for_many():
    """The form chosen by the number of rows is the one that runs."""
    scratch = AttentionScratch()
    made, _, _ = make("int8", torch.bfloat16)
    assert made.bind(FEW_ROWS, "weight", scratch) is made
    assert scratch.num_bytes == 0
    many = made.bind(FEW_ROWS + 1, "weight", scratch)
    assert isinstance(many, projection.PlainProjection)
    assert scratch.num_bytes == OUTPUTS * INPUTS * 2


def test_falling_back_from_the_int8_kernel_is_logged_once(caplog):
    """Weights that the kernel cannot read are dequantised, with one line that says why."""
    projection._log_once.cache_clear()
    caplog.set_level(logging.WARNING)
    made, _, _ = make("int8", torch.float32)
    for _ in range(2):
        assert made.bind(1, "weight", AttentionScratch()) is not made
    assert len(caplog.records) == 1
    assert "float32" in caplog.text


def test_the_form_follows_dtype_device_and_quantization():
    """int8 where asked for, packed where the CPU has the kernels, else plain."""
    packable = packing_unsupported(torch.bfloat16, CPU) is None
    assert choose_form(torch.bfloat16, CPU, None) == ("packed" if packable else "plain")
    assert choose_form(torch.float32, CPU, None) == "plain"
    assert choose_form(torch.bfloat16, torch.device("cuda"), None) == "plain"
    assert choose_form(torch.bfloat16, CPU, "int8") == "int8"


def test_stack_converts_and_copies():
    """Parts of any dtype become one new tensor."""
    parts = [torch.ones(2, 3), torch.zeros(1, 3)]
    stacked = stack(parts, dtype=torch.bfloat16, device=CPU)
    assert torch.equal(stacked, torch.cat(parts).bfloat16())
    vectors = stack([torch.ones(2), torch.zeros(1)], dtype=torch.float32, device=CPU)
    assert vectors.tolist() == [1, 1, 0]
