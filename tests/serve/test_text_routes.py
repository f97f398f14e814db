"""Routes that run no model, and what the server says about itself."""

import pytest

from longreach import __version__
from support.fake_async_engine import FakeAsyncEngine

HI = [{"role": "user", "content": "hi"}]
PROMPT = (
    "<|im_start|>system\nYou answer questions about the text.<|im_end|>\n"
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
)


def post(client, path, **body):
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("body", [{"prompt": PROMPT}, {"content": PROMPT}, {"messages": HI}])
def test_tokenize_in_three_spellings(client, engine, body):
    """vLLM's prompt and messages, llama.cpp's content: the same ids."""
    answer = post(client, "/tokenize", **body)
    assert answer == {
        "count": len(answer["tokens"]),
        "max_model_len": 4096,
        "tokens": engine.tokenizer.encode(PROMPT),
    }


def test_token_strings_when_asked_for(client):
    """One text per token."""
    answer = post(client, "/tokenize", prompt="The pass", return_token_strs=True)
    assert answer["token_strs"] == ["The", " pass"]


def test_tokenize_needs_exactly_one_prompt(client):
    """None and two of them are 400."""
    for body in ({}, {"prompt": "a", "content": "b"}):
        assert client.post("/tokenize", json=body).status_code == 400


def test_detokenize_turns_it_back(client):
    """Special tokens included; ids that do not exist are named."""
    tokens = post(client, "/tokenize", prompt=PROMPT)["tokens"]
    assert post(client, "/detokenize", tokens=tokens) == {"prompt": PROMPT}
    response = client.post("/detokenize", json={"tokens": [0, 4096]})
    assert response.json()["error"]["param"] == "tokens[1]"


@pytest.mark.parametrize("token", [4096, 5000, 2**32, 2**40])
@pytest.mark.parametrize("path", ["/tokenize", "/v1/estimate"])
def test_ids_that_do_not_exist_are_named(client, path, token):
    """A prompt of token ids is looked at as /detokenize looks at it."""
    body = {"prompt": [0, token]} | ({"return_token_strs": True} if path == "/tokenize" else {})
    response = client.post(path, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "prompt[1]")


def test_templates_are_applied(client):
    """The text that the model would read."""
    assert post(client, "/apply-template", messages=HI) == {"prompt": PROMPT}
    opened = post(client, "/apply-template", messages=HI, add_generation_prompt=False)
    assert opened == {"prompt": PROMPT.removesuffix("<|im_start|>assistant\n")}


def test_input_tokens_are_counted(client, engine):
    """Under both names of the route."""
    for path in ("/v1/chat/completions/input_tokens", "/chat/completions/input_tokens"):
        answer = post(client, path, messages=HI)
        assert answer["input_tokens"] == len(engine.tokenizer.encode(PROMPT))


def test_estimates(make_client):
    """Tokens, the cached part, whether it fits, seconds and bytes."""
    client = make_client(FakeAsyncEngine(num_cached=1, max_model_len=10))
    assert post(client, "/v1/estimate", prompt="The pass", max_tokens=9) == {
        "object": "estimate",
        "model": "needle",
        "tokens": 2,
        "cached_tokens": 1,
        "disk_tokens": 0,
        "max_model_len": 10,
        "fits": False,
        "seconds": 0.002,
        "peak_bytes": 2**30,
    }
    assert post(client, "/v1/estimate", messages=HI)["fits"] is False


def test_models(make_client):
    """Every name that is served, listed and one by one."""
    client = make_client(served_model_names=("needle", "org/alias"))
    for path in ("/v1/models", "/models"):
        answer = client.get(path).json()
        assert answer["object"] == "list"
        assert [model["id"] for model in answer["data"]] == ["needle", "org/alias"]
    model = client.get("/v1/models/org/alias").json()
    assert set(model) >= {"id", "object", "created", "owned_by"}
    assert (model["id"], model["object"], model["max_model_len"]) == ("org/alias", "model", 4096)
    answer = post(client, "/v1/chat/completions", messages=HI, model="org/alias")
    assert answer["model"] == "org/alias"


def test_health_and_version(client):
    """200 once there is a model."""
    for path in ("/health", "/v1/health", "/ready"):
        assert client.get(path).json() == {"status": "ok"}
    assert client.get("/version").json() == {"version": __version__}


def test_health_of_a_draining_and_of_a_failed_server(make_client):
    """503, so that no balancer sends more."""
    from dataclasses import replace

    engine = FakeAsyncEngine()
    client = make_client(engine)
    engine.status = replace(engine.status, error="RuntimeError: out")
    assert client.get("/health").json()["error"]["code"] == "engine_failed"
    client.app.state.context.phase = "draining"
    assert client.get("/health").json()["error"]["code"] == "shutting_down"


def test_props_and_slots(make_client):
    """What llama.cpp's clients ask."""
    client = make_client(max_num_seqs=2, sampling_defaults={"top_k": 20})
    props = client.get("/props").json()
    assert props["total_slots"] == 2
    assert "<|im_start|>" in props["chat_template"]
    assert props["default_generation_settings"] == {"n_ctx": 4096, "params": {"top_k": 20}}
    slots = client.get("/slots").json()
    assert [slot["is_processing"] for slot in slots] == [False, False]


def test_no_slot_is_503_when_asked(make_client):
    """?fail_on_no_slot=1 tells a balancer."""
    from longreach.serve.running import RunningRequest

    client = make_client(max_num_seqs=1)
    client.app.state.context.running["r"] = RunningRequest("r", "everyone", 10)
    [slot] = client.get("/slots").json()
    assert slot["is_processing"]
    assert (slot["n_prompt_tokens"], slot["n_prompt_tokens_processed"]) == (10, 0)
    assert client.get("/slots?fail_on_no_slot=1").status_code == 503
    assert client.get("/slots?fail_on_no_slot=x").status_code == 400


def test_the_schema_knows_no_422(client):
    """FastAPI's own error shape is nowhere, in the description neither."""
    response = client.get("/openapi.json")
    assert response.status_code == 200
    assert "422" not in response.text
    assert "HTTPValidationError" not in response.text
