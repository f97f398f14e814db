"""The sampling filters: worked examples and the laws that define them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.ops.sampling import draw_key, reference, sample_row

LOGITS = st.lists(
    st.one_of(st.floats(-20, 20), st.sampled_from([0.0, 1.0, 2.0])), min_size=1, max_size=30
)
PROBS = torch.tensor([0.4, 0.25, 0.2, 0.1, 0.05], dtype=torch.float64)


def kept(filter_, logits, value):
    """Indices that a filter keeps in one row."""
    row = filter_(logits[None], torch.tensor([value]))[0]
    return row.isfinite().nonzero().flatten().tolist()


@pytest.mark.parametrize(("k", "expected"), [(0, 5), (-1, 5), (1, 1), (3, 3), (5, 5), (9, 5)])
def test_top_k_by_hand(k, expected):
    """top_k keeps the k best tokens; 0 and -1 keep all."""
    assert kept(reference.filter_top_k, PROBS.log(), k) == list(range(expected))


@pytest.mark.parametrize(
    ("p", "expected"),
    [(1e-9, 1), (0.399, 1), (0.401, 2), (0.649, 2), (0.651, 3), (0.851, 4), (0.951, 5), (1.0, 5)],
)
def test_top_p_by_hand(p, expected):
    """top_p keeps the fewest best tokens whose mass reaches p: borders .4, .65, .85, .95."""
    assert kept(reference.filter_top_p, PROBS.log(), p) == list(range(expected))


@pytest.mark.parametrize(
    ("p", "expected"), [(0.0, 5), (0.12, 5), (0.13, 4), (0.26, 3), (0.51, 2), (1.0, 1)]
)
def test_min_p_by_hand(p, expected):
    """min_p keeps tokens of at least p times the best one: ratios 1, .625, .5, .25, .125."""
    assert kept(reference.filter_min_p, PROBS.log(), p) == list(range(expected))


def test_the_order_of_filters():
    """top_p sees what top_k left, renormalised: of .4 and .25, the first holds 0.615."""

    def keeps(top_k, top_p):
        rows = [torch.tensor([value]) for value in (1.0, top_k, top_p, 0.0)]
        return int(reference.filtered(PROBS.log()[None], *rows).isfinite().sum())

    assert (keeps(2, 0.61), keeps(2, 0.62), keeps(0, 0.61)) == (1, 2, 2)


def test_temperature_comes_first():
    """Temperature 2 takes square roots: .4 alone no longer holds top_p of 0.3."""
    rows = [torch.tensor([value]) for value in (2.0, 0, 0.3, 0.0)]
    assert int(reference.filtered(PROBS.log()[None], *rows).isfinite().sum()) == 2


@given(LOGITS, st.integers(1, 35), st.floats(0.01, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=80)
def test_laws_of_the_filters(values, k, p, min_p):
    """Each filter keeps the best token, equal tokens alike, and just the mass it is defined by."""
    logits = torch.tensor(values, dtype=torch.float64)
    probs = logits.softmax(-1)
    masks = {
        name: filter_(logits[None], torch.tensor([value]))[0].isfinite()
        for name, filter_, value in (
            ("k", reference.filter_top_k, k),
            ("p", reference.filter_top_p, p),
            ("min", reference.filter_min_p, min_p),
        )
    }
    for mask in masks.values():
        assert mask[logits == logits.max()].all()
        assert not mask.all() or logits[~mask].numel() == 0
        assert mask.all() or logits[mask].min() > logits[~mask].max()
    assert (logits > logits[masks["k"]].min()).sum() < k <= max(int(masks["k"].sum()), k)
    least = logits[masks["p"]].min()
    assert probs[masks["p"]].sum() >= min(p, 1.0) - 1e-9
    assert probs[logits > least].sum() < p + 1e-9


@given(
    LOGITS,
    st.floats(0.05, 5.0),
    st.integers(0, 12),
    st.floats(0.05, 1.0),
    st.floats(0.0, 0.5),
    st.integers(0, 99),
)
@settings(max_examples=150)
def test_the_fast_twin_draws_the_same_token(values, temperature, top_k, top_p, min_p, seed):
    """sample_row equals the reference for the same key, whatever the parameters."""
    logits = torch.tensor(values, dtype=torch.float32)
    key = draw_key(seed, 0, 0)
    args = [torch.tensor([v]) for v in (temperature, top_k, top_p, min_p)]
    args[0], args[2], args[3] = args[0].double(), args[2].double(), args[3].double()
    token = sample_row(
        logits, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, key=key
    )
    assert token == reference.sample(logits[None], *args, [key])[0]


def test_the_fast_twin_on_a_whole_vocabulary():
    """On 152,000 logits, peaked and flat, both draw the same tokens for every parameter."""
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 3.0):
        logits = torch.randn(151_936, generator=generator) * scale
        for index, (t, k, p, m) in enumerate(
            [(1.0, 0, 1.0, 0.0), (0.7, 20, 0.8, 0.0), (1.0, 0, 0.9, 0.0), (1.5, 0, 0.99, 0.001)]
        ):
            key = draw_key(7, 0, index)
            rows = [torch.tensor([v], dtype=torch.float64) for v in (t, k, p, m)]
            expected = reference.sample(
                logits[None], rows[0], rows[1].long(), rows[2], rows[3], [key]
            )
            assert (
                sample_row(logits, temperature=t, top_k=k, top_p=p, min_p=m, key=key) == expected[0]
            )


def test_forbidden_tokens_are_never_drawn():
    """Tokens at -inf are out, even when all others are improbable."""
    logits = torch.full((100,), -torch.inf)
    logits[42] = -1e4
    for index in range(20):
        options = {"temperature": 5.0, "top_k": 50, "top_p": 0.9, "min_p": 0.0}
        assert sample_row(logits, **options, key=draw_key(0, 0, index)) == 42


@pytest.mark.parametrize("temperature", [1e-320, 1e-6, 1e6])
def test_extreme_temperatures(temperature):
    """A tiny temperature takes the best token, a huge one draws any; neither overflows."""
    logits = torch.tensor([1.0, 3.0, 2.0])
    options = {"temperature": temperature, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    drawn = {sample_row(logits, **options, key=draw_key(0, 0, i)) for i in range(60)}
    assert drawn == ({0, 1, 2} if temperature > 1 else {1})


def chi_square(counts, probs, num_draws):
    """Chi-square statistic against exact probabilities, as (statistic, degrees of freedom)."""
    expected = probs * num_draws
    return float(((counts - expected) ** 2 / expected).sum()), len(probs) - 1


@pytest.mark.parametrize(
    ("options", "exact"),
    [
        ({}, PROBS),
        ({"temperature": 2.0}, PROBS.sqrt() / PROBS.sqrt().sum()),
        ({"top_k": 3}, PROBS[:3] / PROBS[:3].sum()),
        ({"top_p": 0.7}, PROBS[:3] / PROBS[:3].sum()),
        ({"min_p": 0.3}, PROBS[:3] / PROBS[:3].sum()),
    ],
    ids=["plain", "temperature", "top_k", "top_p", "min_p"],
)
def test_frequencies_are_the_exact_probabilities(options, exact):
    """1500 draws fit the exact law. False alarm: chi-square beyond mean + 6 sigma, odds below 1e-5.

    The draws are seeded, so a pass stays a pass.
    """
    options = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0} | options
    logits = PROBS.log().float()
    drawn = [sample_row(logits, **options, key=draw_key(1, 0, i)) for i in range(1500)]
    counts = torch.bincount(torch.tensor(drawn), minlength=5).double()
    assert counts[len(exact) :].sum() == 0
    statistic, freedom = chi_square(counts[: len(exact)], exact, 1500)
    assert statistic < freedom + 6 * math.sqrt(2 * freedom)
