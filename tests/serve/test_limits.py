"""Prompt tokens per minute and key: 429 with the time to wait, and no token that was not read."""

import pytest

from longreach.serve.errors import ApiError
from longreach.serve.limits import PrefillLimits
from support.fake_async_engine import FakeAsyncEngine

KEYS = ("first-key", "second-key")
URL = "/v1/completions"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def level_of(client):
    (bucket,) = client.app.state.context.limits._buckets.values()
    return bucket.level


@pytest.fixture
def limited(make_client):
    """A client of a server that lets each key read 60 tokens a minute."""

    def make(engine=None, **settings):
        return make_client(engine, max_prefill_tokens_per_minute=60, **settings)

    return make


def test_a_key_that_has_had_its_tokens_waits(limited):
    """429 with Retry-After; another key is not held up by it."""
    client = limited(api_keys=KEYS)
    body = {"prompt": [5] * 70, "max_tokens": 1}
    assert client.post(URL, json=body, headers=bearer(KEYS[0])).status_code == 200
    refused = client.post(URL, json=body, headers=bearer(KEYS[0]))
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"], error["param"]) == (
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        None,
    )
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert "x-should-retry" not in refused.headers
    assert "60 prompt tokens" in error["message"]
    assert client.post(URL, json=body, headers=bearer(KEYS[1])).status_code == 200


def test_embeddings_count_too(limited):
    """They read prompts as well."""
    client = limited()
    body = {"input": [[5] * 70]}
    codes = [client.post("/v1/embeddings", json=body).status_code for _ in range(2)]
    assert codes == [200, 429]


@pytest.mark.parametrize("steps", [0, 2])
def test_cached_tokens_cost_nothing(limited, steps):
    """With and without progress reports: what was found in the cache is given back."""
    client = limited(FakeAsyncEngine(num_cached=65, steps=steps))
    for _ in range(5):
        answer = client.post(URL, json={"prompt": [5] * 70, "max_tokens": 1})
        assert answer.status_code == 200
    assert level_of(client) == pytest.approx(60 - 25, abs=3)


def test_what_was_refused_costs_nothing(limited):
    """A prompt that does not fit has not been read."""
    client = limited(FakeAsyncEngine(max_model_len=64))
    assert client.post(URL, json={"prompt": [5] * 70}).status_code == 400
    assert level_of(client) == pytest.approx(60)


def test_prompts_of_one_body_are_let_in_together(limited):
    """Else a body with two large ones could never be answered."""
    client = limited()
    body = {"prompt": [[5] * 70, [6] * 70], "max_tokens": 1}
    assert client.post(URL, json=body).status_code == 200
    assert client.post(URL, json=body).status_code == 429


def test_a_client_that_left_pays_for_what_was_read(make_client):
    """Not for the rest of its prompt."""
    from longreach.engine.protocol import PromptProgress
    from longreach.serve.access import RequestUsage
    from longreach.serve.meter import Meter

    context = make_client(max_prefill_tokens_per_minute=1000).app.state.context
    charge = context.limits.charge("me", 900)
    meter = Meter(context.metrics, RequestUsage(), charge, 900)
    for processed in (100, 300):
        meter.see(PromptProgress(processed=processed, total=900, cached=100, time_ms=1.0))
    meter.close()
    meter.close()
    assert context.limits._bucket("me", 1000).level == pytest.approx(800, abs=3)


def test_without_a_limit_nobody_waits():
    """And nothing is counted."""
    limits = PrefillLimits(None)
    for _ in range(3):
        limits.charge("me", 10**9).settle(0)
    assert limits._buckets == {}


def test_batches_come_again():
    """The executor of batches waits for the time it is told, instead of failing the line."""
    from longreach.serve.batches import executor

    limits = PrefillLimits(60)
    limits.charge("me", 70)
    with pytest.raises(ApiError) as raised:
        limits.charge("me", 1)
    assert raised.value.code in executor._WORTH_WAITING
    assert raised.value.status in executor._UNAVAILABLE
