"""Masks, bans, bias and penalties, by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.ops.sampling import add_bias, apply_bitmask, apply_penalties, ban

LOGITS = torch.tensor([2.0, -2.0, 1.0, -1.0, 0.5])
PROMPT = torch.tensor([True, True, False, False, False])
COUNTS = torch.tensor([0, 3, 1, 0, 0], dtype=torch.int32)
OFF = {"repetition": 1.0, "presence": 0.0, "frequency": 0.0}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [2.0, -2.0, 1.0, -1.0, 0.5]),
        ({"repetition": 2.0}, [1.0, -4.0, 0.5, -1.0, 0.5]),
        ({"presence": 0.5}, [2.0, -2.5, 0.5, -1.0, 0.5]),
        ({"frequency": 0.5}, [2.0, -3.5, 0.5, -1.0, 0.5]),
        ({"presence": -1.0, "frequency": -1.0}, [2.0, 2.0, 3.0, -1.0, 0.5]),
        ({"repetition": 2.0, "presence": 0.5, "frequency": 1.0}, [1.0, -7.5, -1.0, -1.0, 0.5]),
    ],
)
def test_penalties_by_hand(options, expected):
    """Repetition counts prompt and output, the others output alone, and repetition comes first."""
    before = LOGITS.clone()
    got = apply_penalties(LOGITS, PROMPT, COUNTS, **(OFF | options))
    assert got.tolist() == expected
    assert torch.equal(LOGITS, before)


def test_bias_is_added():
    """logit_bias adds to its tokens and leaves the others, and the argument, alone."""
    before = LOGITS.clone()
    assert add_bias(LOGITS, {0: -100.0, 3: 1.5}).tolist() == [-98.0, -2.0, 1.0, 0.5, 0.5]
    assert torch.equal(LOGITS, before)


def test_a_ban_leaves_something():
    """Banned tokens go to -inf, unless nothing else is allowed."""
    assert ban(LOGITS, [0, 4]).argmax() == 2
    only = torch.tensor([-torch.inf, 1.0, -torch.inf])
    assert torch.equal(ban(only, [1]), only)


@given(st.lists(st.booleans(), min_size=1, max_size=100), st.integers(0, 70))
@settings(max_examples=60)
def test_bitmask(allowed, extra):
    """Bit i % 32 of word i // 32 allows token i; tokens past the mask are forbidden."""
    words = [0] * (-(-len(allowed) // 32))
    for token, bit in enumerate(allowed):
        words[token // 32] |= int(bit) << token % 32
    signed = [word - 2**32 if word >= 2**31 else word for word in words]
    got = apply_bitmask(torch.zeros(len(allowed) + extra), torch.tensor(signed, dtype=torch.int32))
    assert got.isfinite().tolist() == allowed + [False] * extra
