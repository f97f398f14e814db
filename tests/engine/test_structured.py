"""Answers of a random model that must have a form: every complete one has it."""

import json
import re

import jsonschema_rs
import pytest
import torch

from longreach.config import EngineConfig, SparsePolicy
from longreach.engine.build import Overrides, build_engine
from longreach.engine.protocol import PromptRequest
from longreach.engine.sampling_params import SamplingParams
from longreach.engine.structured import StructuredOutputs
from longreach.errors import InvalidRequestError, LongreachError

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 3},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
    },
    "required": ["name", "tags", "count"],
    "additionalProperties": False,
}
LARK = (
    'start: "<tool_call>" call "</tool_call>"\n'
    'call: %json {"enum": [{"name": "f"}], "x-guidance": {"whitespace_pattern": " ?"}}'
)


def is_object(text):
    return isinstance(json.loads(text), dict)


FORMS = [
    ({"json": SCHEMA}, lambda text: jsonschema_rs.is_valid(SCHEMA, json.loads(text))),
    ({"json": json.dumps(SCHEMA)}, lambda text: jsonschema_rs.is_valid(SCHEMA, json.loads(text))),
    ({"json_object": True}, is_object),
    ({"regex": r"[a-c]{2,5}-\d{3}"}, lambda text: re.fullmatch(r"[a-c]{2,5}-\d{3}", text)),
    ({"choice": ["yes", "no", "über", "yes, but"]}, ["yes", "no", "über", "yes, but"].__contains__),
    ({"grammar": LARK}, lambda text: json.loads(text[11:-12]) == {"name": "f"}),
]
FORM_NAMES = ["schema", "schema text", "object", "regex", "choice", "grammar"]


def build(folder, *, num_kv_tokens="auto", **settings):
    config = EngineConfig(
        dtype="float32", page_size=16, seed=0, sparse=SparsePolicy(mode="off"), **settings
    )
    overrides = Overrides(num_kv_tokens=num_kv_tokens)
    return build_engine(folder, config, overrides, device=torch.device("cpu"))


@pytest.fixture
def engine(tiny_qwen2):
    return build(tiny_qwen2)


def request(form, *, prompt="The pass key", request_id=None, **params):
    sampling = {"max_tokens": 400, "structured_outputs": StructuredOutputs(**form)} | params
    return PromptRequest(prompt=prompt, params=SamplingParams(**sampling), request_id=request_id)


def answers(engine, *requests):
    """Request id -> its answers; stream=False, so they come whole."""
    for one in requests:
        engine.add_request(one, stream=False)
    outputs = {}
    while engine.has_unfinished:
        outputs |= {output.request_id: output for output in engine.step()}
        engine.check()
    return outputs


@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
@pytest.mark.parametrize(("form", "is_valid"), FORMS, ids=FORM_NAMES)
def test_complete_answers_have_their_form(engine, form, is_valid, temperature):
    """An answer that ends by itself validates, whatever the random model would say."""
    n = 1 if temperature == 0 else 4
    (output,) = answers(engine, request(form, n=n, seed=1, temperature=temperature)).values()
    complete = [a for a in output.outputs if a.finish_reason == "stop"]
    assert all(is_valid(answer.text) for answer in complete)
    assert len(complete) == n or "json_object" in form  # of a size that the schema leaves open


def test_forms_side_by_side(tiny_qwen2):
    """In one batch, with preemptions in a small pool, each answer has its own form or none."""
    engine = build(tiny_qwen2, num_kv_tokens=160, max_num_seqs=6, max_num_batched_tokens=32)
    requests = [
        request(form, request_id=str(at), max_tokens=130, seed=at)
        for at, (form, _) in enumerate(FORMS)
    ]
    free = PromptRequest(prompt="Here", params=SamplingParams(max_tokens=130), request_id="free")
    outputs = answers(engine, *requests, free)
    assert sum(output.metrics.num_preemptions for output in outputs.values()) > 0
    for at, (form, is_valid) in enumerate(FORMS):
        (answer,) = outputs[str(at)].outputs
        assert is_valid(answer.text) if answer.finish_reason == "stop" else "json" in str(form)
    alone = answers(build(tiny_qwen2), requests[3])
    assert alone["3"].outputs[0].token_ids == outputs["3"].outputs[0].token_ids


@pytest.mark.parametrize("params", [{"ignore_eos": True}, {"min_tokens": 3}, {}])
def test_a_complete_form_ends_the_answer(engine, params):
    """After its only text an answer ends with "stop", also before min_tokens or with ignore_eos."""
    form = {"choice": ["key"]}
    (output,) = answers(engine, request(form, temperature=0.0, **params)).values()
    (answer,) = output.outputs
    assert (answer.text, answer.finish_reason, answer.stop_reason) == ("key", "stop", None)


def test_ignore_eos_makes_the_longest_answer(engine):
    """With ignore_eos the end is drawn only where the grammar has nothing else."""
    requests = [
        request({"regex": "a{1,9}"}, ignore_eos=ignore, request_id=str(ignore), temperature=1.0)
        for ignore in (True, False)
    ]
    outputs = answers(engine, *requests)
    assert outputs["True"].outputs[0].text == "a" * 9


def test_stops_and_limits_cut_a_form(engine):
    """max_tokens ends an answer with "length"; a stop string with "stop" and its reason."""
    cut, stopped = (
        {"max_tokens": 3},
        {"stop": "pass key"},
    )
    form = {"choice": ["What is the pass key of the longest road?"]}
    outputs = answers(
        engine, request(form, request_id="cut", **cut), request(form, request_id="stop", **stopped)
    )
    assert outputs["cut"].outputs[0].finish_reason == "length"
    answer = outputs["stop"].outputs[0]
    assert (answer.text, answer.stop_reason) == ("What is the ", "pass key")


def test_rows_without_a_token_are_never_drawn(make_checkpoint):
    """An embedding padded beyond the tokenizer gives no token without a text."""
    engine = build(make_checkpoint("qwen2", vocab_size=448))
    form = {"regex": r"(?s:.{40})"}
    (output,) = answers(engine, request(form, temperature=5.0, n=3, seed=0)).values()
    for answer in output.outputs:
        assert max(answer.token_ids) < engine.tokenizer.vocab_size
        assert len(answer.text) == 40


@pytest.mark.parametrize(
    "form", [{"regex": "[a"}, {"grammar": "start: nothing"}, {"json": '{"type": "objekt"}'}]
)
def test_a_bad_form_is_refused_at_once(engine, form):
    """Nothing is queued for a form that cannot be compiled."""
    with pytest.raises(InvalidRequestError, match="structured_outputs"):
        engine.add_request(request(form))
    assert not engine.has_unfinished


def test_a_model_without_tokenizer_has_no_forms(make_checkpoint, tmp_path):
    """Token ids alone cannot follow a grammar: the request is refused."""
    for file in make_checkpoint("qwen2").iterdir():
        if not file.name.startswith("tokenizer"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    params = SamplingParams(structured_outputs=StructuredOutputs(regex="a"), detokenize=False)
    with pytest.raises(InvalidRequestError, match="structured_outputs"):
        build(tmp_path).add_request(PromptRequest(prompt_token_ids=[1, 2], params=params))


def test_a_grammar_that_gives_up_ends_its_request_alone(engine, monkeypatch):
    """When a mask cannot be computed, that request ends with the error and the other goes on."""
    form = {"regex": "a{30}"}
    engine.add_request(request(form, request_id="bad"), stream=False)
    engine.add_request(
        PromptRequest(
            prompt="Here", params=SamplingParams(max_tokens=9, ignore_eos=True), request_id="good"
        ),
        stream=False,
    )
    engine.step()
    mask = engine._answers["bad"][1].sampling.mask

    def give_up():
        raise LongreachError("too complex")

    monkeypatch.setattr(mask, "bitmask", give_up)
    outputs = answers(engine)
    assert str(outputs["bad"].error) == "too complex"
    assert outputs["bad"].outputs[0].finish_reason == "error"
    assert len(outputs["good"].outputs[0].token_ids) == 9
    assert outputs["good"].error is None


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"regex": "a", "grammar": "b"},
        {"json_object": True, "json": {}},
        {"json_object": 1},
        {"regex": 3},
        {"json": [1]},
        {"choice": []},
        {"choice": "ab"},
        {"choice": ["a", 1]},
        {"choice": range(20_000)},
        {"choice": ["x" * 40_000, "y" * 40_000]},
    ],
)
def test_exactly_one_form_of_the_right_type(form):
    """None, two, or another type: InvalidRequestError names the field."""
    with pytest.raises(InvalidRequestError) as caught:
        StructuredOutputs(**form)
    assert caught.value.field == "structured_outputs"


@pytest.mark.parametrize("form", [{"json": {"enum": [{1, 2}]}}, {"choice": ["\ud800"]}])
def test_what_json_cannot_hold_is_refused(form):
    """A set in a schema, a lone surrogate in a text: InvalidRequestError, not a traceback."""
    with pytest.raises(InvalidRequestError):
        assert StructuredOutputs(**form).source
