"""Noise that is a function of its key and the token id, with the law it should have."""

from __future__ import annotations

import math

import torch

from longreach.ops.sampling.noise import draw_key, gumbel


def test_splitmix_by_hand():
    """The bits are SplitMix64's, computed here with Python's own integers."""
    mask, key, token = 2**64 - 1, 12345, 678
    z = (key + (token + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    z ^= z >> 31
    expected = -math.log(-math.log(((z >> 12) + 0.5) * 2.0**-52))
    assert math.isclose(float(gumbel(key, torch.tensor([token]))), expected, rel_tol=1e-12)


def test_noise_of_a_token_is_its_own():
    """A token has the same noise among any candidates; another key gives another."""
    everything = gumbel(7, torch.arange(1000))
    some = torch.tensor([3, 500, 999])
    assert torch.equal(gumbel(7, some), everything[some])
    assert not torch.equal(gumbel(8, some), everything[some])


def test_the_ids_are_left_alone():
    """The argument is not written to."""
    ids = torch.arange(5)
    gumbel(1, ids)
    assert torch.equal(ids, torch.arange(5))


def test_noise_is_gumbel():
    """Mean and variance are Euler's constant and pi^2 / 6 within 6 standard errors (odds 1e-8)."""
    noise = gumbel(3, torch.arange(200_000))
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.577216) < 6 * 1.2825 / math.sqrt(200_000)
    assert abs(noise.var() - math.pi**2 / 6) < 6 * 3.45 / math.sqrt(200_000)


def test_keys_differ_by_each_part():
    """Seed, output and token index each change the key; seeds may be negative or 64 bits wide."""
    keys = {draw_key(*parts) for parts in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0)]}
    assert len(keys) == 5
    assert all(-(2**63) <= key < 2**63 for key in keys | {draw_key(2**64 - 1, 0, 0)})


def test_draws_of_one_request_are_independent():
    """Uniforms of neighbouring token indices and ids do not correlate (5 sigma, odds 6e-7)."""
    rows = torch.stack([gumbel(draw_key(0, 0, i), torch.arange(300)) for i in range(300)])
    u = torch.exp(-torch.exp(-rows)) - 0.5
    for a, b in ((u[1:], u[:-1]), (u[:, 1:], u[:, :-1])):
        assert abs(float((a * b).mean()) * 12) < 5 / math.sqrt(a.numel())
