"""The benchmark's client against a real server over a fake engine, on a real socket."""

import asyncio
import random
from types import SimpleNamespace

import pytest

from longreach.bench.serve.client import StreamClient, api_url
from longreach.bench.serve.mixed import Chats, run_mixed
from longreach.bench.serve.prompts import PromptLengths, measure_lengths, random_text
from longreach.errors import LongreachError
from support.fake_async_engine import FakeAsyncEngine
from support.serving import serving

LONG_ANSWER = "word " * 400


@pytest.fixture
def serve():
    """`serve(engine)` is the address of a server over it."""
    open_servers = []

    def start(engine):
        context = serving(lambda: engine, served_model_names=("needle",))
        server = context.__enter__()
        open_servers.append(context)
        server.wait_until_ready()
        return server.url

    yield start
    for context in open_servers:
        context.__exit__(None, None, None)


def with_client(url, work, **options):
    async def run():
        async with StreamClient(url, "needle", **options) as client:
            return await work(client)

    return asyncio.run(run())


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_record_counts_what_came(serve, endpoint):
    """Tokens are the server's own count, and times never go back."""
    engine = FakeAsyncEngine()
    url = serve(engine)
    record = with_client(url, lambda client: client.record("hello", 64), endpoint=endpoint)
    assert record.error == ""
    assert record.num_output_tokens == len(engine.tokenizer.encode(engine.script)) + 1
    assert record.num_prompt_tokens > 0
    assert record.times_s == sorted(record.times_s)
    assert 0 < record.ttft_s <= record.latency_s
    assert engine.requests[0].params.max_tokens == 64


def test_full_length_is_asked_for(serve):
    """ignore_eos reaches the engine."""
    engine = FakeAsyncEngine()
    with_client(serve(engine), lambda client: client.record("a", 8), ignore_eos=True)
    assert engine.requests[0].params.ignore_eos


@pytest.mark.parametrize(
    "engine",
    [
        FakeAsyncEngine(max_model_len=4),
        FakeAsyncEngine(fail_after=(2, MemoryError("secret"))),
    ],
)
def test_failures_are_noted(serve, engine):
    """A refused request and one that breaks off are records with an error, not exceptions."""
    record = with_client(serve(engine), lambda client: client.record("hello there", 64))
    assert record.error


def test_no_server():
    """A server that is not there is one error with its address."""
    with pytest.raises(LongreachError, match=r"127\.0\.0\.1:9"):
        with_client("http://127.0.0.1:9", lambda client: client.models())


def test_prompts_have_the_length_asked_for(serve):
    """After two probes, a random prompt has the wanted tokens within a twentieth."""
    engine = FakeAsyncEngine()

    async def work(client):
        rng = random.Random(0)
        lengths = await measure_lengths(client, rng)
        return await client.record(random_text(rng, lengths.num_words(1000)), 1)

    assert with_client(serve(engine), work).num_prompt_tokens == pytest.approx(1000, rel=0.05)


def slow_engine():
    """Answers of 400 tokens, two milliseconds each."""
    pause = SimpleNamespace(wait=lambda: asyncio.sleep(0.002))
    return FakeAsyncEngine(script=LONG_ANSWER, gate=pause)


def test_mixed_load(serve):
    """Chats decode alone and beside a long prompt; both sides have figures, and all is ended."""
    engine = slow_engine()
    said = []

    async def work(client):
        rng = random.Random(0)
        return await run_mixed(
            client,
            await measure_lengths(client, rng),
            prefill_tokens=2000,
            num_chats=3,
            alone_s=0.2,
            rng=rng,
            report=said.append,
        )

    data = with_client(serve(engine), work, ignore_eos=True).as_data()
    assert data["prefill_tokens"] == pytest.approx(2000, rel=0.05)
    assert data["num_itls_alone"] > 3
    assert data["num_itls_mixed"] >= 1
    assert data["p99_itl_ratio"] == pytest.approx(
        data["p99_itl_mixed_ms"] / data["p99_itl_alone_ms"]
    )
    assert data["prefill_rate_share"] > 0
    assert len(said) == 3


def test_a_chat_that_fails_ends_the_measurement(serve):
    """No figure is made of chats that are not there."""
    engine = FakeAsyncEngine(fail_after=(6, MemoryError("out")))

    async def work(client):
        async with Chats(client, PromptLengths(0, 1), 2, random.Random(0)) as chats:
            await chats.beside(asyncio.sleep(30))

    with pytest.raises(LongreachError):
        with_client(serve(engine), work)


def test_gaps_lie_between_two_moments():
    """Gaps that reach into the window count whole; others, and pauses between answers, do not."""
    chats = Chats(None, PromptLengths(0, 1), 1, random.Random(0))
    chats._streams = [[0.0, 1.0, 2.5, 4.0, 4.5], [10.0, 11.0]]
    assert chats.gaps(2.0, 4.2) == [1.5, 1.5, 0.5]
    assert chats.gaps(5.0, 9.0) == []


def test_addresses():
    """With /v1, without, or with a slash: one address."""
    urls = ("http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/")
    assert {api_url(url) for url in urls} == {"http://h:1/v1"}
