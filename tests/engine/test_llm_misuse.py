"""The Python API in hands that hold it wrong: typed errors, unharmed neighbours, no page lost."""

import threading

import numpy as np
import pytest
import torch

from longreach import LLM, InvalidRequestError, LongreachError, SamplingParams
from longreach.engine.protocol import PromptRequest


def greedy(max_tokens=6, **others):
    return SamplingParams(temperature=0.0, max_tokens=max_tokens, ignore_eos=True, **others)


@pytest.fixture
def llm(tiny_qwen2):
    with LLM(tiny_qwen2, dtype="float32", page_size=16, seed=0) as llm:
        yield llm
        assert not llm.engine.has_unfinished
        llm.engine.check()
        assert llm.engine.cache.stats().num_owned == 0


def tokens(output):
    return list(output.outputs[0].token_ids)


@pytest.mark.parametrize("n", [1, 3])
def test_a_request_without_a_token_to_draw_ends_alone(llm, n):
    """A penalty that makes logits infinite ends its own request; its neighbours go on."""
    endless = {"temperature": 1.0, "n": n, "repetition_penalty": 1e-300}
    spoilt = SamplingParams(max_tokens=6, **endless)
    wanted = tokens(llm.generate("The sky is", greedy())[0])
    requests = [
        PromptRequest(prompt="The sky is", params=greedy()),
        PromptRequest(prompt="The grass is", params=spoilt),
    ]
    pieces = {0: [], 1: []}
    for output in llm.generate_requests(requests):
        pieces[int(output.prompt == "The grass is")].append(output)
    assert [token for piece in pieces[0] for token in tokens(piece)] == wanted
    assert pieces[0][-1].error is None
    assert isinstance(pieces[1][-1].error, LongreachError)
    with pytest.raises(LongreachError, match="the best logit is inf"):
        llm.generate(["The sky is", "The grass is"], [greedy(), spoilt])


def test_a_call_inside_a_call_is_refused(llm):
    """generate, stream and close from a progress callback are refused; the call around goes on."""
    refused = []
    abandoned = llm.stream("The sun is", greedy(50))
    next(abandoned)

    def callback(*_):
        for call in (
            lambda: llm.generate("The sky is", greedy()),
            lambda: next(llm.stream("The sky is", greedy())),
            llm.close,
        ):
            with pytest.raises(InvalidRequestError, match="llm is 'in use'"):
                call()
            refused.append(call)
        abandoned.close()  # allowed: it ends when the step does

    wanted = tokens(llm.generate("The grass is", greedy())[0])
    llm.engine.cache.forget_unused()
    (output,) = llm.generate("The grass is", greedy(), progress=callback)
    assert len(refused) >= 3
    assert tokens(output) == wanted


def test_threads_do_not_mix(llm):
    """Of several threads' calls each gives the right answer or is refused; nothing breaks."""
    texts = [f"The number {index} is" for index in range(3)]
    wanted = [tokens(output) for output in llm.generate(texts, greedy())]
    wrong = []

    def ask(index):
        for _ in range(8):
            try:
                got = tokens(llm.generate(texts[index], greedy())[0])
            except InvalidRequestError as error:
                got = wanted[index] if error.field == "llm" else error
            except Exception as error:  # noqa: BLE001  # whatever it is, it is wrong
                got = error
            if got != wanted[index]:
                wrong.append(got)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert tokens(llm.generate(texts[0], greedy())[0]) == wanted[0]


def test_a_stream_of_a_closed_llm_says_so(tiny_qwen2):
    """Going on with a stream after close raises the error of every use after close."""
    llm = LLM(tiny_qwen2, dtype="float32", page_size=16)
    stream = llm.stream("The sky is", greedy())
    next(stream)
    llm.close()
    with pytest.raises(InvalidRequestError, match="closed"):
        next(stream)


@pytest.mark.parametrize(
    "ids", [[1.0], ["a"], [1, "a"], [None], [[1]], [True, False], b"abc", [torch.tensor(1.5)]]
)
def test_ids_that_are_no_integers_are_refused(llm, ids):
    """A prompt of something else is an InvalidRequestError that names the field."""
    with pytest.raises(InvalidRequestError, match="prompt_token_ids is") as caught:
        llm.generate({"prompt_token_ids": ids}, greedy())
    assert caught.value.field == "prompt_token_ids"


def test_integers_of_other_libraries_are_ids(llm):
    """Ids may be NumPy's or torch's integers, and come back as Python's."""
    wanted = llm.generate({"prompt_token_ids": [5, 6, 7]}, greedy())[0]
    for ids in (np.array([5, 6, 7]), torch.tensor([5, 6, 7])):
        (output,) = llm.generate({"prompt_token_ids": list(ids)}, greedy())
        assert tokens(output) == tokens(wanted)
        assert set(map(type, output.prompt_token_ids)) == {int}


@pytest.mark.parametrize("params", [{"max_tokens": 3}, 5, [5], [None], SamplingParams, "x"])
def test_params_of_another_type_are_refused(llm, params):
    """Anything but SamplingParams is named."""
    with pytest.raises(InvalidRequestError, match="params is"):
        llm.generate("a", params)


def test_a_salt_is_text(llm):
    """A cache salt of another type is named."""
    with pytest.raises(InvalidRequestError, match="cache_salt is 5"):
        llm.generate("a", greedy(), cache_salt=5)


DEEP = ["x"]
for _ in range(5000):
    DEEP = [DEEP]
ROUND = []
ROUND.append(ROUND)


@pytest.mark.parametrize(
    ("field", "message", "options"),
    [
        ("messages", None, {}),
        ("messages[0].tool_calls", {"role": "assistant", "content": "", "tool_calls": 5}, {}),
        ("messages[0]", {"role": "user", "content": "x", "more": DEEP}, {}),
        ("tools", {"role": "user", "content": "x"}, {"tools": 5}),
        ("tools", {"role": "user", "content": "x"}, {"tools": "abc"}),
        ("tools", {"role": "user", "content": "x"}, {"tools": [ROUND]}),
        ("tools", {"role": "user", "content": "x"}, {"tools": [{"x": ROUND}]}),
        ("x", {"role": "user", "content": "x"}, {"template_variables": {"x": DEEP}}),
        ("template_variables", {"role": "user"}, {"template_variables": {"tools": []}}),
        ("template_variables", {"role": "user"}, {"template_variables": {"self": 1}}),
        ("template_variables", {"role": "user"}, {"template_variables": {5: 1}}),
        ("template_variables", {"role": "user"}, {"template_variables": 5}),
    ],
)
def test_a_conversation_that_cannot_be_rendered_is_named(llm, field, message, options):
    """Messages, tools and variables of a wrong form are refused, each by its name."""
    with pytest.raises(InvalidRequestError) as caught:
        llm.chat([message], greedy(), **options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "options",
    [
        {"num_kv_tokens": "many"},
        {"num_kv_tokens": 2.5},
        {"num_kv_tokens": True},
        {"dual_chunk_attention": 0},
        {"cap": "long"},
        {"cap": 1},
        {"cap": 60, "dual_chunk_attention": False},
        {"device": None},
        {"disk_cache": 5},
        {"model": None},
        {"model": ""},
        {"model": b"needle"},
    ],
    ids=str,
)
def test_settings_of_a_wrong_type_are_refused(tiny_dca, options):
    """What cannot be obeyed is the caller's InvalidRequestError, not the checkpoint's error."""
    with pytest.raises(InvalidRequestError) as caught:
        LLM(**{"model": tiny_dca, "dtype": "float32"} | options)
    assert caught.value.field == next(iter(options))


@pytest.mark.parametrize("num_tokens", [-1, 1.5, True, "8K", None])
def test_an_estimate_is_of_a_number_of_tokens(llm, num_tokens):
    """Anything else is refused before anything is measured."""
    with pytest.raises(InvalidRequestError, match="num_tokens is"):
        llm.estimate(num_tokens)
