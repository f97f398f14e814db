import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.ops.linear import (
    Int8Weight,
    dequantise,
    gated_packed,
    linear,
    linear_int8,
    linear_int8_unsupported,
    linear_packed,
    linear_packed_add,
    pack,
    packing_unsupported,
    quantise,
    unpack,
)
from longreach.ops.linear.reference import linear_reference

CPU = torch.device("cpu")
SHAPES = [(1, 16, 1), (1, 5, 7), (3, 60, 100), (17, 64, 33), (130, 48, 96), (0, 16, 8)]
ROUNDING = {torch.float32: 1e-6, torch.bfloat16: torch.finfo(torch.bfloat16).eps}
NO_BF16 = packing_unsupported(torch.bfloat16, CPU)
packed_only = pytest.mark.skipif(NO_BF16 is not None, reason=f"no packed twin here: {NO_BF16}")


def problem(rows, inputs, outputs, dtype=torch.float32):
    rng = torch.Generator().manual_seed(rows + inputs + outputs)
    sizes = ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
    return [torch.randn(size, generator=rng).to(dtype) for size in sizes]


def error(got, want):
    return float((got.double() - want).norm() / want.norm().clamp(min=1e-30))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_equals_the_truth(shape, dtype):
    """The truth x W^T + b up to rounding, with and without bias, new or into a buffer."""
    x, weight, bias, residual = problem(*shape, dtype)
    for b in (None, bias):
        want = linear_reference(x, weight, b)
        for out in (None, residual.clone()):
            assert error(linear(x, weight, b, out=out), want) <= ROUNDING[dtype]


@packed_only
@pytest.mark.parametrize("shape", SHAPES)
def test_packed_is_as_precise_as_plain(shape):
    """Packed weights give the plain twin's precision, for any shape, bias and residual."""
    x, weight, bias, residual = problem(*shape, torch.bfloat16)
    eps = torch.finfo(torch.bfloat16).eps
    for b in (None, bias):
        want = linear_reference(x, weight, b)
        assert error(linear_packed(x, pack(weight), b), want) <= eps
        added = linear_packed_add(x, pack(weight), b, residual)
        assert error(added, want + residual.double()) <= eps


@packed_only
@pytest.mark.parametrize("shape", SHAPES)
def test_packed_gate_is_as_precise_as_its_steps(shape):
    """silu(x G^T) * (x U^T) inside the GEMMs is no further from the truth than step by step."""
    x, gate, _, _ = problem(*shape, torch.bfloat16)
    up = problem(shape[0] + 1, *shape[1:], torch.bfloat16)[1]
    wide = linear_reference(x, gate)
    want = wide * wide.sigmoid() * linear_reference(x, up)
    steps = torch.nn.functional.silu(linear(x, gate)) * linear(x, up)
    assert error(gated_packed(x, pack(gate), pack(up)), want) <= error(steps, want) + 1e-3


@packed_only
def test_a_packed_weight_can_be_unpacked():
    """unpack(pack(w)) == w to the bit."""
    for shape in SHAPES:
        weight = problem(*shape, torch.bfloat16)[1]
        assert torch.equal(unpack(pack(weight)), weight)


def test_packing_says_why_not():
    """Other dtypes and devices are refused with the reason."""
    assert "float32" in packing_unsupported(torch.float32, CPU)
    assert "cuda" in packing_unsupported(torch.bfloat16, torch.device("cuda"))


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(1, 40), st.floats(1e-6, 1e6), st.integers(0, 10_000))
def test_quantised_weights_are_within_half_a_step(outputs, inputs, size, seed):
    """|w - s q| <= s / 2 for every weight, s is a bfloat16 number, and -128 is never used."""
    weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed)) * size
    weight[0] = 0
    values, scale = quantise(weight)
    back = dequantise(Int8Weight(values, scale), out=torch.empty(weight.shape))
    assert ((weight - back).abs() <= scale[:, None] * 0.5001).all()
    assert torch.equal(scale.bfloat16().float(), scale)
    assert int(values.min()) >= -127
    assert torch.equal(values[0], torch.zeros(inputs, dtype=torch.int8))


def test_int8_error_is_the_documented_one():
    """A Gaussian layer in int8 is off by 0.8 % (0.6 to 1.0), bfloat16 in and out included."""
    x, weight, _, _ = problem(16, 896, 512)
    want = linear_reference(x, weight)
    got = linear_int8(x.bfloat16(), quantise(weight))
    assert 0.006 <= error(got, want) <= 0.010
    assert error(linear(x.bfloat16(), weight.bfloat16()), want) <= 0.004


@pytest.mark.parametrize("shape", [(1, 16, 5), (4, 64, 33), (16, 48, 96)])
def test_int8_kernel_equals_its_dequantised_weight(shape):
    """The kernel multiplies by s q exactly: no error beyond rounding inputs and outputs."""
    x, weight, bias, _ = problem(*shape, torch.bfloat16)
    quantised = quantise(weight)
    back = dequantise(quantised, out=torch.empty(weight.shape, dtype=torch.float64))
    for b in (None, bias):
        got = linear_int8(x, quantised, b)
        assert error(got, linear_reference(x, back, b)) <= 2 * torch.finfo(torch.bfloat16).eps


def test_int8_kernel_says_why_not():
    """Rows that are not a multiple of 16 long, and other dtypes, are refused with the reason."""
    weight = quantise(torch.ones(3, 31))
    assert "31 inputs" in linear_int8_unsupported(weight, torch.bfloat16)
    assert "float32" in linear_int8_unsupported(quantise(torch.ones(3, 32)), torch.float32)
    assert linear_int8_unsupported(quantise(torch.ones(3, 32)), torch.bfloat16) is None
