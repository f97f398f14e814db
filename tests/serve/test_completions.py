"""Text completions: prompts in every spelling, echo, the legacy log-probabilities."""

import json

import pytest

from longreach.serve.logprobs import CompletionLogprobs
from support.fake_async_engine import FakeAsyncEngine, needle_tokenizer

URL = "/v1/completions"


def ask(client, **body):
    response = client.post(URL, json={"prompt": "The pass", **body})
    assert response.status_code == 200, response.text
    return response.json()


def chunks(client, **body):
    response = client.post(URL, json={"prompt": "The pass", "stream": True, **body})
    assert response.status_code == 200, response.text
    frames = response.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


def test_the_answer(client):
    """Every field that strict clients check; 16 tokens at most unless said otherwise."""
    answer = ask(client)
    assert answer["id"].startswith("cmpl-")
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "text": "The pass key is 28884.",
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": None,
        }
    ]
    assert answer["usage"]["prompt_tokens"] == 2
    assert answer["longreach"]["density"] == 0.25
    assert answer["timings"]["prompt_n"] == 2


def test_sixteen_tokens_by_default(engine, client):
    """As OpenAI has it, also for null."""
    ask(client)
    ask(client, max_tokens=None)
    assert [request.params.max_tokens for request in engine.requests] == [16, 16]


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("The", [[295]]),
        ([295, 334], [[295, 334]]),
        (["The", " pass"], [[295], [334]]),
        ([[295], [334, 295]], [[295], [334, 295]]),
        ("<|im_end|>", [[4095]]),
    ],
)
def test_prompts_in_every_spelling(engine, client, prompt, prompts):
    """A text, token ids, and lists of both; special tokens in a prompt are meant."""
    answer = ask(client, prompt=prompt)
    assert [list(request.prompt_token_ids) for request in engine.requests] == prompts
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(prompts)))
    assert answer["usage"]["prompt_tokens"] == sum(map(len, prompts))


def test_answers_are_numbered_prompt_by_prompt(make_client):
    """Index is prompt * n + answer."""
    client = make_client(FakeAsyncEngine(script=lambda request, index: f"{index}"))
    choices = ask(client, prompt=["a", "b"], n=2)["choices"]
    assert [(c["index"], c["text"]) for c in choices] == [(0, "0"), (1, "1"), (2, "0"), (3, "1")]
    found = chunks(client, prompt=["a", "b"], n=2)
    texts = dict.fromkeys(range(4), "")
    for chunk in found:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == {0: "0", 1: "1", 2: "0", 3: "1"}


def test_several_prompts_tell_of_each(client):
    """longreach.prompts has one entry per prompt."""
    assert len(ask(client, prompt=["a", "b"])["longreach"]["prompts"]) == 2


def test_one_refused_prompt_stops_the_others(make_client):
    """All are admitted or none."""
    engine = FakeAsyncEngine(max_model_len=20)
    response = make_client(engine).post(URL, json={"prompt": ["a", "hi " * 50], "max_tokens": 1})
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert len(engine.aborted) == 1


def test_echo(client):
    """The prompt's text comes first, decoded where ids were given."""
    assert ask(client, echo=True, max_tokens=2)["choices"][0]["text"] == "The passThe pass"
    assert ask(client, prompt=[4095], echo=True, max_tokens=1)["choices"][0]["text"] == (
        "<|im_end|>The"
    )
    first, *_ = chunks(client, echo=True)
    assert first["choices"][0]["text"] == "The pass"


def test_echo_alone(client):
    """max_tokens 0 is only for echo, and counts no token."""
    answer = ask(client, echo=True, max_tokens=0, logprobs=1)
    [choice] = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("The pass", "length")
    assert choice["logprobs"]["tokens"] == ["The", " pass"]
    assert answer["usage"]["completion_tokens"] == 0
    assert [c["choices"][0]["text"] for c in chunks(client, echo=True, max_tokens=0)] == [
        "The pass",
        "",
    ]


def test_legacy_logprobs(client):
    """Parallel lists; the first token of a prompt is predicted by nothing; offsets in the text."""
    [choice] = ask(client, echo=True, logprobs=2, max_tokens=2)["choices"]
    assert choice["logprobs"] == {
        "tokens": ["The", " pass", "The", " pass"],
        "token_logprobs": [None, -0.5, -0.5, -0.5],
        "top_logprobs": [None, *choice["logprobs"]["top_logprobs"][1:]],
        "text_offset": [0, 3, 8, 11],
    }
    assert choice["logprobs"]["top_logprobs"][1] == {"a": -0.5, " pass": -0.5}


def test_offsets_behind_a_split_character():
    """A character that several tokens spell counts once in the text, so it does in the offsets."""
    tokenizer = needle_tokenizer()
    token_ids = tokenizer.encode("a🏔b")
    assert len(token_ids) > 3
    told = CompletionLogprobs(tokenizer, 0).of(token_ids, [None] * len(token_ids))
    assert told["text_offset"] == [0, *[1] * (len(token_ids) - 2), 2]


def test_offsets_go_on_over_chunks(client):
    """Each chunk goes on where the last one ended."""
    found = chunks(client, logprobs=0)
    told = [c["choices"][0]["logprobs"] for c in found if c["choices"][0]["logprobs"]]
    offsets = [offset for entry in told for offset in entry["text_offset"]]
    tokens = [token for entry in told for token in entry["tokens"]]
    assert offsets == [sum(map(len, tokens[:i])) for i in range(len(tokens))]
    assert all(entry["top_logprobs"] is None for entry in told)


def test_stream_ends_with_usage_when_asked(client):
    """One more chunk without choices; null in the others."""
    *others, last = chunks(client, stream_options={"include_usage": True}, return_progress=True)
    assert all(chunk["usage"] is None for chunk in others)
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 12)
    assert [c for c in others if "prompt_progress" in c]
    assert "timings" in chunks(client)[-1]


def test_prompt_logprobs_are_vllms(client):
    """In each choice."""
    [choice] = ask(client, prompt_logprobs=0)["choices"]
    assert choice["prompt_logprobs"][0] is None
    assert list(choice["prompt_logprobs"][1]) == ["334"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"echo": True, "logprobs": 1, "stream": True}, "echo"),
    ],
)
def test_what_cannot_be_obeyed(client, body, param):
    """400 that names the field."""
    response = client.post(URL, json={"prompt": "a", **body})
    assert response.status_code == 400
    assert response.json()["error"]["param"].partition("[")[0] == param


def test_a_million_bad_tokens_are_one_error(client):
    """A long list is not judged item by item."""
    response = client.post(URL, json={"prompt": [1.5] * 100_000})
    assert response.status_code == 400
    assert len(response.text) < 1500


def test_special_tokens_around_a_prompt_can_be_left_out(engine, client):
    """add_special_tokens reaches the tokenizer."""
    ask(client, add_special_tokens=False)
    assert list(engine.requests[-1].prompt_token_ids) == [295, 334]
