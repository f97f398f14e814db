"""The sampler: every parameter reaches the token, and no request feels its neighbours."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longreach.engine.sampler import Sampler, SamplingState
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import InvalidRequestError, LongreachError, ShapeError

VOCAB = 50


class Mask:
    """Allows a fixed set of tokens."""

    def __init__(self, *tokens: int) -> None:
        self.words = torch.zeros(2, dtype=torch.int64)
        for token in tokens:
            self.words[token // 32] |= 1 << token % 32

    def bitmask(self) -> torch.Tensor:
        return self.words.to(torch.int32)

    def advance(self, token_id: int) -> None:
        """The set stays."""

    is_finished = False


def state(vocab_size=VOCAB, eos=(), prompt=(), seed=None, index=0, mask=None, **params):
    return SamplingState(
        SamplingParams(**params),
        vocab_size=vocab_size,
        prompt_token_ids=prompt,
        eos_token_ids=eos,
        seed=seed,
        sample_index=index,
        mask=mask,
    )


def run_alone(logits, one):
    (token,) = Sampler()(logits, [one])
    return token


def logits_of(num_steps, num_rows=1, vocab=VOCAB, seed=0):
    return (
        torch.randn(num_steps, num_rows, vocab, generator=torch.Generator().manual_seed(seed)) * 2
    )


def run(states, steps):
    """Token ids [state][step]."""
    sampler = Sampler()
    return [
        list(row)
        for row in zip(*[[t.token_id for t in sampler(x, states)] for x in steps], strict=True)
    ]


REQUESTS = [
    {"seed": 3},
    {"seed": 3, "temperature": 0.5, "top_p": 0.8},
    {"temperature": 0},
    {"seed": 9, "top_k": 5, "repetition_penalty": 1.3, "logit_bias": {4: 3.0}},
    {"seed": 9, "min_p": 0.05, "presence_penalty": 1.0, "frequency_penalty": 0.3},
]


@given(st.permutations(range(len(REQUESTS))), st.integers(1, len(REQUESTS)))
@settings(max_examples=25)
def test_a_request_draws_alone_as_in_any_batch(order, size):
    """Neighbours, their number and their order change no token of a request."""
    steps = logits_of(6, len(REQUESTS))
    alone = [
        run([state(prompt=[1, 2], **r)], steps[:, i : i + 1])[0] for i, r in enumerate(REQUESTS)
    ]
    chosen = order[:size]
    batch = run([state(prompt=[1, 2], **REQUESTS[i]) for i in chosen], steps[:, chosen])
    assert batch == [alone[i] for i in chosen]


def test_a_restarted_request_goes_on_as_before():
    """A state brought forward by append draws what the first one would have drawn next."""
    steps = logits_of(8)
    params = {"seed": 5, "presence_penalty": 1.5}
    whole = run([state(**params)], steps)[0]
    resumed = state(**params)
    for token in whole[:3]:
        resumed.append(token)
    assert run([resumed], steps[3:])[0] == whole[3:]


def test_seeds():
    """The same seed repeats; another seed, another output of n, and no seed at all differ."""
    steps = logits_of(40) * 0.1
    base = run([state(seed=1)], steps)
    assert run([state(seed=1)], steps) == base
    assert run([state(seed=2)], steps) != base
    assert run([state(seed=1, index=1)], steps) != base
    assert run([state()], steps) != run([state()], steps)


def test_the_seed_of_the_request_comes_first():
    """params.seed is used before the seed the engine offers."""
    assert SamplingState(SamplingParams(seed=4), vocab_size=9, seed=7).seed == 4
    assert SamplingState(SamplingParams(), vocab_size=9, seed=7).seed == 7


@pytest.mark.parametrize("vocab", [5, 1000, 151_936])
def test_greedy_takes_the_lowest_of_equal_tokens(vocab):
    """Temperature 0 is the argmax, the lowest id where several are equal."""
    logits = torch.zeros(1, vocab)
    logits[0, [vocab - 1, vocab // 2, 2]] = 1.0
    assert run([state(vocab, temperature=0)], logits[None]) == [[2]]


def test_greedy_obeys_what_comes_before_the_draw():
    """Bias, penalties, masks and bans hold at temperature 0 too."""
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    steps = logits.expand(4, 1, 4)
    assert run([state(4, temperature=0, logit_bias={3: 9.0})], steps[:1]) == [[3]]
    assert run([state(4, temperature=0, presence_penalty=1.5)], steps) == [[0, 1, 0, 0]]
    assert run([state(4, temperature=0, frequency_penalty=1.1)], steps) == [[0, 1, 0, 2]]
    assert run([state(4, temperature=0, repetition_penalty=2.0, prompt=[0])], steps[:2]) == [[1, 0]]
    assert run([state(4, temperature=0, mask=Mask(2, 3))], steps[:1]) == [[2]]


def test_min_tokens_bans_every_stop_id():
    """End-of-sequence and stop ids cannot be drawn before min_tokens, and can after."""
    steps = torch.tensor([5.0, 4.0, 1.0, 0.0]).expand(4, 1, 4)
    assert run([state(4, temperature=0, min_tokens=2, eos=[0], stop_token_ids=[1])], steps) == [
        [2, 2, 0, 0]
    ]
    forced = state(4, temperature=0, min_tokens=2, eos=[0], mask=Mask(0))
    assert run([forced], steps[:1]) == [[0]]


def test_filters_reach_the_draw():
    """top_k, top_p, min_p and temperature each confine the draws as they should."""
    probs = torch.tensor([0.4, 0.3, 0.2, 0.1])
    steps = probs.log().expand(200, 1, 4)

    def drawn(**params):
        return set(run([state(4, seed=0, **params)], steps)[0])

    assert drawn() == {0, 1, 2, 3}
    assert drawn(top_k=2) == drawn(top_p=0.6) == drawn(min_p=0.7) == {0, 1}
    assert drawn(temperature=0.01) == {0}
    assert drawn(mask=Mask(1, 3)) == {1, 3}


def test_logits_are_left_alone():
    """The caller's logits are not changed."""
    logits = logits_of(1, 2)[0]
    before = logits.clone()
    states = [state(temperature=0, logit_bias={1: 5.0}), state(repetition_penalty=2.0, prompt=[3])]
    Sampler()(logits, states)
    assert torch.equal(logits, before)


def test_logprobs_are_of_the_raw_logits():
    """Reported log-probabilities know nothing of bias and temperature, and hold the drawn token."""
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    sampler = Sampler(decode_token=lambda token: f"<{token}>")
    asked = state(4, temperature=0, logit_bias={3: 100.0}, logprobs=2)
    (token,) = sampler(logits, [asked])
    exact = logits[0].log_softmax(-1)
    assert token.token_id == 3
    assert list(token.logprobs) == [3, 0, 1]
    assert [entry.rank for entry in token.logprobs.values()] == [4, 1, 2]
    assert token.logprobs[3].decoded_token == "<3>"
    for index, entry in token.logprobs.items():
        assert entry.logprob == pytest.approx(float(exact[index]), abs=1e-6)


def test_logprobs_only_where_asked():
    """Rows have their own number of entries; logprobs=0 reports the token alone."""
    states = [state(logprobs=n) for n in (None, 0, 3)]
    rows = Sampler()(logits_of(1, 3)[0], states)
    assert rows[0].logprobs is None
    assert list(rows[1].logprobs) == [rows[1].token_id]
    assert 3 <= len(rows[2].logprobs) <= 4


def test_broken_logits_are_an_error():
    """NaN and infinite rows are reported in their place; their state does not move on."""
    for bad in (float("nan"), float("inf")):
        logits = torch.zeros(2, VOCAB)
        logits[1, 7] = bad
        states = [state(seed=1), state(temperature=0)]
        token, error = Sampler()(logits, states)
        assert token == run_alone(logits[:1], state(seed=1))
        assert isinstance(error, LongreachError)
        assert str(error) == f"the best logit is {bad}: no token can be drawn"
        assert [s.num_output_tokens for s in states] == [1, 0]


def test_shapes_are_checked():
    """One row per request."""
    with pytest.raises(ShapeError, match=r"logits \(2, 50\) for 1 requests"):
        Sampler()(torch.zeros(2, VOCAB), [state()])


def test_the_vocabulary_is_checked():
    """A token outside the model's vocabulary is refused when the request is made."""
    with pytest.raises(InvalidRequestError, match="logit_bias is 50"):
        state(logit_bias={50: 1.0})
