"""Random numbers that depend on (seed, output, token index, token id) and on nothing else.

A counter-based generator: no state is kept, so a draw does not depend on the batch it runs in, on
preemption, or on what was drawn before. Integers only, so every device gives the same bits.
"""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import Tensor


def _signed(word: int) -> int:
    """A 64-bit word as the int64 that has the same bits."""
    return (word + 2**63) % 2**64 - 2**63


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def draw_key(seed: int, sample_index: int, token_index: int) -> int:
    """The key of one draw (int64): a hash of the request's seed, which of its n outputs, which
    token.
    """
    words = (seed, sample_index, token_index)
    data = b"".join((word % 2**64).to_bytes(8, "little") for word in words)
    return _signed(int.from_bytes(blake2b(data, digest_size=8).digest(), "little"))


def gumbel(key: int, ids_K: Tensor) -> Tensor:
    """Standard Gumbel noise per token id, float64 [K]: -log(-log(u)), u of 52 bits in (0, 1).

    The bits are SplitMix64 (Steele, Lea, Flood 2014) at counter `id`, so a token's noise does not
    depend on which other tokens are candidates.
    """
    bits_K = (ids_K + 1).mul_(_GOLDEN).add_(key)
    bits_K.bitwise_xor_(_shift(bits_K, 30)).mul_(_MIX_1)
    bits_K.bitwise_xor_(_shift(bits_K, 27)).mul_(_MIX_2)
    bits_K.bitwise_xor_(_shift(bits_K, 31))
    u_K = (_shift(bits_K, 12).to(torch.float64) + 0.5) * 2.0**-52
    return -torch.log(-torch.log(u_K))


def _shift(bits: Tensor, count: int) -> Tensor:
    """A logical shift to the right of int64 (torch's own keeps the sign)."""
    return (bits >> count).bitwise_and_(2 ** (64 - count) - 1)
