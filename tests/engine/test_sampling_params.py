"""Every field of SamplingParams: defaults, ranges, and the error that names it."""

from __future__ import annotations

import dataclasses
import math

import pytest

from longreach.engine.sampling_params import SamplingParams
from longreach.errors import InvalidRequestError, LongreachError

BAD = [
    ("n", 0, "integer >= 1"),
    ("n", 1.5, "integer"),
    ("n", True, "integer"),
    ("temperature", -0.1, r"\[0.0, inf\)"),
    ("temperature", math.nan, "number"),
    ("temperature", math.inf, "number"),
    ("temperature", "1", "number"),
    ("temperature", 10**400, "number"),
    ("top_p", 0.0, r"\(0.0, 1.0\]"),
    ("top_p", 1.01, r"\(0.0, 1.0\]"),
    ("top_k", -2, ">= -1"),
    ("top_k", 1.0, "integer"),
    ("min_p", -0.01, r"\[0.0, 1.0\]"),
    ("min_p", 1.01, r"\[0.0, 1.0\]"),
    ("repetition_penalty", 0.0, r"\(0.0, inf\)"),
    ("presence_penalty", 2.1, r"\[-2.0, 2.0\]"),
    ("frequency_penalty", -2.1, r"\[-2.0, 2.0\]"),
    ("logit_bias", [1], "mapping"),
    ("logit_bias", {-1: 1.0}, "integers >= 0"),
    ("logit_bias", {"1": 1.0}, "integers >= 0"),
    ("logit_bias", {1: 101.0}, r"\[-100, 100\]"),
    ("logit_bias", {1: math.nan}, r"\[-100, 100\]"),
    ("seed", 2**64, "integer in"),
    ("seed", "a", "integer in"),
    ("stop", 7, "string or a sequence"),
    ("stop", "", "not empty"),
    ("stop", ["a", ""], "not empty"),
    ("stop", ["a", 1], "not empty"),
    ("stop_token_ids", 5, "sequence of ids"),
    ("stop_token_ids", "5", "sequence of ids"),
    ("stop_token_ids", [-1], "integers >= 0"),
    ("min_tokens", -1, ">= 0"),
    ("min_tokens", 17, "max_tokens = 16"),
    ("max_tokens", 0, ">= 1 or None"),
    ("logprobs", -1, r"\[0, 20\] or None"),
    ("logprobs", 21, r"\[0, 20\]"),
    ("prompt_logprobs", 21, r"\[0, 20\]"),
    ("ignore_eos", 1, "True or False"),
    ("skip_special_tokens", None, "True or False"),
    ("include_stop_str_in_output", "no", "True or False"),
    ("detokenize", 0, "True or False"),
    ("structured_outputs", {"regex": "a"}, "StructuredOutputs"),
]


@pytest.mark.parametrize(("field", "value", "message"), BAD, ids=[f"{f}={v!r}" for f, v, _ in BAD])
def test_bad_values_name_the_field_and_the_range(field, value, message):
    """A value out of range is a ValueError of ours that says which field and what is right."""
    with pytest.raises(InvalidRequestError, match=message) as caught:
        SamplingParams(**{field: value})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field} is ")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, LongreachError)


def test_every_field_has_a_bad_value():
    """A new field comes with a test of its range."""
    assert {field for field, _, _ in BAD} == {f.name for f in dataclasses.fields(SamplingParams)}


def test_defaults_are_vllms():
    """The defaults that people know."""
    params = SamplingParams()
    assert (params.n, params.temperature, params.top_p, params.top_k, params.min_p) == (
        1,
        1,
        1,
        0,
        0,
    )
    assert (params.max_tokens, params.min_tokens, params.repetition_penalty) == (16, 0, 1)
    assert (params.skip_special_tokens, params.detokenize, params.ignore_eos) == (True, True, False)
    assert params.stop_strings == ()
    assert params.logprobs is None
    assert not params.has_penalties


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0, "top_k": -1, "top_p": 1, "min_p": 1, "max_tokens": None},
        {"n": 4, "seed": -(2**63), "presence_penalty": 2, "frequency_penalty": -2.0},
        {"stop": "a", "stop_token_ids": (), "logprobs": 0, "prompt_logprobs": 20},
        {"logit_bias": {0: -100, 7: 100.0}, "min_tokens": 16, "repetition_penalty": 1e-3},
        {"min_tokens": 99, "max_tokens": None},
    ],
)
def test_values_at_the_borders_are_accepted(options):
    """The ends of every range belong to it, and what is given is what is kept."""
    params = SamplingParams(**options)
    assert {name: getattr(params, name) for name in options} == options


def test_greedy_has_one_output():
    """With temperature 0 all outputs would be equal, so n above 1 is refused."""
    with pytest.raises(InvalidRequestError, match="n is 2: expected 1 when temperature is 0"):
        SamplingParams(temperature=0, n=2)
    assert SamplingParams(temperature=0.0).is_greedy


def test_stop_strings_need_text():
    """Stop strings without detokenisation could not be obeyed."""
    with pytest.raises(InvalidRequestError, match="detokenize is False"):
        SamplingParams(stop="a", detokenize=False)


def test_both_spellings_of_stop():
    """One string and a list of strings read alike."""
    assert (
        SamplingParams(stop="a").stop_strings == SamplingParams(stop=["a"]).stop_strings == ("a",)
    )


@pytest.mark.parametrize("options", [{"logit_bias": {10: 1.0}}, {"stop_token_ids": [3, 10]}])
def test_ids_outside_the_vocabulary(options):
    """A token that the model does not have is named with the vocabulary's size."""
    with pytest.raises(InvalidRequestError, match=r"is 10: expected token ids in \[0, 10\)"):
        SamplingParams(**options).check_vocabulary(10)
    SamplingParams(**options).check_vocabulary(11)


def test_params_are_frozen_and_keyword_only():
    """Nobody changes the parameters of a running request."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        SamplingParams().n = 2
    with pytest.raises(TypeError):
        SamplingParams(1)
