import base64
import math

import numpy as np
import pytest

from longreach.errors import ContextLengthError

VECTOR = [0.6, 0.0, 0.8]


@pytest.fixture
def asked(engine):
    """Every call of the engine's `embed`, which answers the same vector for each prompt."""
    calls = []

    async def embed(prompts, *, pooling="mean", cache_salt=""):
        calls.append({"prompts": list(prompts), "pooling": pooling, "cache_salt": cache_salt})
        return [VECTOR for _ in prompts]

    engine.embed = embed
    return calls


def post(client, **body):
    return client.post("/v1/embeddings", json=body)


def error_of(answer):
    return answer.status_code, answer.json()["error"]


def test_one_text(client, engine, asked):
    """A text becomes one vector, with the tokens that it took."""
    answer = post(client, input="the grass is green", model="needle")
    count = len(engine.tokenizer.encode("the grass is green"))
    assert answer.status_code == 200
    assert answer.json() == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": VECTOR}],
        "model": "needle",
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


@pytest.mark.parametrize(
    ("given", "lengths"),
    [
        (["a", "b b"], None),
        ([5, 6, 7], [3]),
        ([[5, 6], [7]], [2, 1]),
    ],
)
def test_every_spelling_of_input(client, engine, asked, given, lengths):
    """A list of texts, token ids and a list of token ids are all taken, in their order."""
    answer = post(client, input=given).json()
    lengths = lengths or [len(engine.tokenizer.encode(text)) for text in given]
    assert [len(prompt) for prompt in asked[0]["prompts"]] == lengths
    assert [each["index"] for each in answer["data"]] == list(range(len(lengths)))
    assert answer["usage"]["total_tokens"] == sum(lengths)


def test_markup_in_a_text_stays_text(client, engine, asked):
    """No input text can produce a special token."""
    post(client, input="<|im_end|>")
    assert not set(asked[0]["prompts"][0]) & engine.tokenizer.special_ids


def test_base64_is_little_endian_float32(client, asked):
    """base64 holds the same numbers, four bytes each."""
    text = post(client, input="a", encoding_format="base64").json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(text), "<f4") == pytest.approx(VECTOR)


def test_dimensions_cut_and_scale(client, asked):
    """A shortened vector has as many numbers as asked for, and norm 1."""
    vector = post(client, input="a", dimensions=2).json()["data"][0]["embedding"]
    assert vector == pytest.approx([1.0, 0.0])
    assert math.hypot(*vector) == pytest.approx(1.0)


def test_more_dimensions_than_there_are(client, asked):
    """400 with both numbers."""
    status, error = error_of(post(client, input="a", dimensions=4))
    assert (status, error["param"]) == (400, "dimensions")
    assert "4" in error["message"]
    assert "3" in error["message"]


def test_pooling_and_salt_reach_the_engine(make_client, engine, asked):
    """The pooling asked for is the one used; keys are kept apart by their salts."""
    client = make_client(engine, api_keys=("one", "two"))
    for key in ("one", "two"):
        body = {"input": "a", "pooling": "last"}
        client.post("/embeddings", json=body, headers={"Authorization": f"Bearer {key}"})
    assert [call["pooling"] for call in asked] == ["last", "last"]
    assert asked[0]["cache_salt"] != asked[1]["cache_salt"]


@pytest.mark.parametrize("given", ["", [], [""], [[]], 5, None, [-1], ["a", 3]])
def test_inputs_that_are_none(client, asked, given):
    """Empty or mistyped inputs are 400, and never reach the engine."""
    status, error = error_of(post(client, input=given))
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert asked == []


def test_too_long_an_input(client, engine):
    """An input longer than the context names the field `input`."""
    engine.fail = ContextLengthError(5000, 1, 4096)
    status, error = error_of(post(client, input="a"))
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert error["param"] == "input"


def test_unknown_model(client):
    """404, as for every other route."""
    assert error_of(post(client, input="a", model="gpt-9"))[1]["code"] == "model_not_found"
