"""Log-probabilities of outputs and prompts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.engine import logprobs
from longreach.engine.logprobs import Logprob, PromptLogprobs, rows_at_once, top_logprobs


@given(
    st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=20),
    st.integers(0, 5),
    st.integers(0, 99),
)
@settings(max_examples=100)
def test_entries_are_exact(values, num_top, pick):
    """Own token first, then the best; log_softmax values; rank = 1 + number of better tokens."""
    logits = torch.tensor([values])
    token = pick % len(values)
    (entries,) = top_logprobs(logits, [token], num_top, None)
    exact = logits[0].double().log_softmax(-1)
    assert next(iter(entries)) == token
    assert min(num_top, len(values)) <= len(entries) <= num_top + 1
    for index, entry in entries.items():
        assert entry.logprob == pytest.approx(float(exact[index]), abs=1e-5)
        assert entry.rank == 1 + int((logits[0] > logits[0, index]).sum())
    best = sorted(values, reverse=True)[:num_top]
    assert all(values[i] in best for i in list(entries)[1:])


def exact_prompt_logprobs(hidden, weights, tokens):
    return (hidden @ weights).double().log_softmax(-1)[torch.arange(len(tokens) - 1), tokens[1:]]


@pytest.mark.parametrize("cuts", [[12], [1] * 12, [5, 7], [0, 11, 1]])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_prompt_in_any_slices(cuts, rows, monkeypatch):
    """However the prompt is cut, each token has its entry, which holds it; the first is None."""
    monkeypatch.setattr(logprobs, "LOGITS_BYTES", 4 * 20 * rows)
    generator = torch.Generator().manual_seed(1)
    hidden, weights = (
        torch.randn(12, 8, generator=generator),
        torch.randn(8, 20, generator=generator),
    )
    tokens = torch.randint(20, (12,), generator=generator).tolist()
    seen = []

    def to_logits(piece):
        seen.append(len(piece))
        return piece @ weights

    collected = PromptLogprobs(tokens, 2, decode_token=str)
    start = 0
    for length in cuts:
        assert not collected.is_complete or start >= 11
        collected.add(hidden[start : start + length], to_logits, 20)
        start += length
    assert collected.is_complete
    assert len(collected.entries) == 12
    assert collected.entries[0] is None
    exact = exact_prompt_logprobs(hidden[:-1], weights, torch.tensor(tokens))
    for token, entry, value in zip(tokens[1:], collected.entries[1:], exact, strict=True):
        assert entry[token].logprob == pytest.approx(float(value), abs=1e-5)
        assert entry[token].decoded_token == str(token)
        assert len(entry) in (2, 3)
    assert max(seen) <= rows


def test_a_prompt_of_one_token():
    """Nothing predicts the first token, and its row predicts no prompt token."""
    collected = PromptLogprobs([3], 5)
    assert collected.is_complete
    collected.add(torch.zeros(1, 4), lambda piece: pytest.fail("no logits are needed"), 10)
    assert collected.entries == [None]


def test_rows_at_once():
    """32 MiB of logits at most, and never less than a row."""
    assert rows_at_once(151_936) == 55
    assert rows_at_once(10**9) == 1


def test_names():
    """An entry reads as vLLM's does."""
    entry = Logprob(-0.5, 1, "a")
    assert (entry.logprob, entry.rank, entry.decoded_token) == (-0.5, 1, "a")
