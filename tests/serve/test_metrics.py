"""What Prometheus reads: vLLM's names, true figures, nothing shared between servers."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from longreach.engine.protocol import EngineStatus
from longreach.serve.app import create_app
from longreach.serve.settings import ServerSettings
from support.fake_async_engine import FakeAsyncEngine

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
NAMES = (
    "num_requests_running num_requests_waiting kv_cache_usage_perc "
    "prefix_cache_queries prefix_cache_hits prompt_tokens prompt_tokens_cached "
    "generation_tokens request_success num_preemptions time_to_first_token_seconds "
    "inter_token_latency_seconds e2e_request_latency_seconds "
    "request_queue_time_seconds request_prefill_time_seconds "
    "request_decode_time_seconds request_prompt_tokens request_generation_tokens "
    "cache_config_info prefill_tokens_per_second prefill_cancelled"
)


def read(client, **options):
    """Samples by (name without prefix, labels without the model's)."""
    answer = client.get("/metrics", **options)
    assert answer.status_code == 200
    samples = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("model_name") == "needle"
            samples[sample.name, *sorted(labels.items())] = sample.value
    return samples


def families(client):
    text = client.get("/metrics").text
    return {family.name for family in text_string_to_metric_families(text)}


def test_every_name_is_there(client):
    """With our prefix, from the first scrape on."""
    client.post("/v1/chat/completions", json=CHAT)
    assert {f"longreach_{name}" for name in NAMES.split()} <= families(client)


def test_dashboards_of_vllm_find_their_names(make_client):
    """--metrics-prefix vllm: gives them, colon included."""
    client = make_client(metrics_prefix="vllm:")
    assert "vllm:num_requests_running" in families(client)


def test_an_answer_is_counted(make_client):
    """Tokens, cached ones, the end's reason, and the times that the engine measured."""
    client = make_client(FakeAsyncEngine(num_cached=2))
    usage = client.post("/v1/chat/completions", json=CHAT).json()["usage"]
    samples = read(client)
    prefix = "longreach_"
    assert samples[(prefix + "prompt_tokens_total",)] == usage["prompt_tokens"]
    assert samples[(prefix + "prompt_tokens_cached_total",)] == 2
    assert samples[(prefix + "generation_tokens_total",)] == usage["completion_tokens"]
    assert samples[prefix + "request_success_total", ("finished_reason", "stop")] == 1
    for name, seconds in (
        ("time_to_first_token_seconds", 0.5),
        ("request_queue_time_seconds", 0.1),
        ("request_prefill_time_seconds", 0.5),
        ("request_decode_time_seconds", 0.25),
        ("e2e_request_latency_seconds", 0.85),
    ):
        assert samples[(f"{prefix}{name}_sum",)] == pytest.approx(seconds), name
        assert samples[(f"{prefix}{name}_count",)] == 1
    steps = samples[(prefix + "inter_token_latency_seconds_count",)]
    assert steps == usage["completion_tokens"] - 1


def test_buckets_reach_ten_minutes_and_a_million_tokens(client):
    """A long prompt does not fall off the end of a histogram."""
    client.post("/v1/chat/completions", json=CHAT)
    samples = read(client)
    ends = {"time_to_first_token_seconds": "600.0", "request_prompt_tokens": "1e+06"}
    for name, end in ends.items():
        assert (f"longreach_{name}_bucket", ("le", end)) in samples


def test_the_engines_figures_are_those_of_now(make_client):
    """Read from its status when somebody scrapes."""
    engine = FakeAsyncEngine(
        status=EngineStatus(
            num_running=3,
            num_waiting=2,
            kv_usage=0.5,
            num_kv_pages=64,
            page_size=128,
            prefix_queries=100,
            prefix_hits=40,
            num_preemptions=1,
        )
    )
    samples = read(make_client(engine))
    for name, value in (
        ("num_requests_running", 3),
        ("num_requests_waiting", 2),
        ("kv_cache_usage_perc", 0.5),
        ("prefix_cache_queries_total", 100),
        ("prefix_cache_hits_total", 40),
        ("num_preemptions_total", 1),
    ):
        assert samples[(f"longreach_{name}",)] == value
    pages = ("longreach_cache_config_info", ("block_size", "128"), ("num_gpu_blocks", "64"))
    assert samples[pages] == 1


@pytest.mark.parametrize(("steps", "stage"), [(0, "queued"), (2, "prefill")])
def test_prompts_that_were_given_up(steps, stage):
    """By the stage they had reached; the request counts as aborted."""
    from longreach.serve.auth import Identity
    from longreach.serve.generation import GenerationRequest, start

    async def run():
        engine = FakeAsyncEngine(gate=asyncio.Event(), steps=steps)
        context = create_app(engine, ServerSettings()).state.context
        request = GenerationRequest(request_id="r", token_ids=[1, 2], params=_params())
        generation = await start(context, Identity(), request)
        if steps:
            engine.gate.set()
            await generation.wait_for_first(10)
        await generation.close()
        return context.metrics.registry.get_sample_value

    value = asyncio.run(run())
    labels = {"model_name": "needle"}
    assert value("longreach_prefill_cancelled_total", {**labels, "stage": stage}) == 1
    aborted = {**labels, "finished_reason": "abort"}
    assert value("longreach_request_success_total", aborted) == 1


def _params():
    from longreach.engine.sampling_params import SamplingParams

    return SamplingParams(max_tokens=1)


def test_a_failure_is_counted_as_one(make_client):
    """Once, under its reason."""
    client = make_client(FakeAsyncEngine(fail_after=(2, RuntimeError("x"))))
    assert client.post("/v1/chat/completions", json=CHAT).status_code == 500
    assert read(client)["longreach_request_success_total", ("finished_reason", "error")] == 1


def test_it_is_there_while_the_model_loads():
    """Without the engine's figures."""
    from starlette.testclient import TestClient

    assert TestClient(create_app(None, ServerSettings())).get("/metrics").status_code == 200


def test_servers_share_nothing(make_client):
    """Each app counts its own."""
    one, two = make_client(), make_client()
    one.post("/v1/chat/completions", json=CHAT)
    assert read(one)[("longreach_generation_tokens_total",)] > 0
    assert read(two)[("longreach_generation_tokens_total",)] == 0


def test_they_are_guarded_by_the_keys(make_client):
    """Figures of others' use are not public."""
    client = make_client(api_keys=("secret",))
    assert client.get("/metrics").status_code == 401
    assert read(client, headers={"Authorization": "Bearer secret"})


def test_readers_of_openmetrics_get_it(client):
    """The format is the reader's choice."""
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
