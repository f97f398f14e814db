"""Guesses from what stands before, and that they change nothing but the number of steps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longreach import LLM, SamplingParams
from longreach.config import EngineConfig
from longreach.engine.prompt_lookup import MAX_MATCH, MIN_MATCH, PromptLookup, continuation
from longreach.engine.protocol import PromptRequest
from longreach.engine.request import Request
from longreach.engine.sampling_params import StructuredOutputs
from longreach.errors import InvalidRequestError
from longreach.evals.needle import build_document

TOKENS = st.lists(st.integers(0, 2), max_size=60)


def match_length(ids, place):
    """How many tokens up to `place` are the last ones of all."""
    length = 0
    while length <= place and length < MAX_MATCH and ids[place - length] == ids[-1 - length]:
        length += 1
    return length


@given(TOKENS)
def test_the_longest_match_is_gone_on_with(ids):
    """Of all places before the end the one with the longest match, and of these the last."""
    lengths = [(match_length(ids, place), place) for place in range(len(ids) - 1)]
    best, place = max(lengths, default=(0, 0))
    assert continuation(np.array(ids, np.int32)) == (place + 1 if best >= MIN_MATCH else 0)


def made(prompt, said=(), max_tokens=40):
    request = Request(request_id="a", prompt_token_ids=prompt, max_tokens=max_tokens)
    request.output_token_ids.extend(said)
    return request


def test_a_draft_stays_until_a_token_comes():
    """A plan that is made again has the same guesses; less room cuts them."""
    lookup = PromptLookup(made([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3]), 15)
    assert lookup.draft(9) == lookup.draft(9) == (4, 5, 6, 7)
    assert lookup.draft(2) == (4, 5)


def test_drafts_grow_where_they_are_right_and_shrink_where_not():
    """Twice as long after a whole draft, half as long after one that was wrong at once."""
    text = [*range(40), 0, 1, 2]
    request = made(text)
    lookup = PromptLookup(request, 15)
    sizes = []
    for come in ([*range(3, 8)], [*range(8, 17)], [17, 18, 50], [0, 1, 2], [9, 30, 31, 32], [33]):
        sizes.append(len(lookup.draft(40)))
        request.output_token_ids.extend(come)
    assert sizes == [4, 8, 15, 0, 15, 7]


def test_nothing_stood_before():
    """No guess is better than a bad one."""
    assert PromptLookup(made([1, 2, 3]), 15).draft(9) == ()
    assert PromptLookup(made([5, 1, 2, 7, 1, 2]), 15).draft(9) == ()


# --- in the engine

REGEX = StructuredOutputs(regex="[0-9a-f]{20}")


def ask(llm, prompt, **params):
    sampling = SamplingParams(**{"max_tokens": 30, "ignore_eos": True, "logprobs": 2} | params)
    request = PromptRequest(prompt_token_ids=prompt, params=sampling)
    deltas = list(llm.generate_requests([request]))
    ids = [token for delta in deltas for token in delta.outputs[0].token_ids]
    logprobs = [entry for delta in deltas for entry in delta.outputs[0].logprobs]
    text = "".join(delta.outputs[0].text for delta in deltas)
    last = deltas[-1].outputs[0]
    return ids, text, logprobs, (last.finish_reason, last.stop_reason), deltas[-1].metrics


@pytest.fixture(scope="module")
def needle():
    with LLM("needle", dtype="float32", page_size=16, max_model_len=2048, seed=0) as llm:
        yield llm


def guesses(truth, prompt, wrong_every):
    """A draft that knows the answer, but for every so many of its tokens, and not where it ends."""

    def draft(self, room):
        at = self._request.num_tokens - len(prompt)
        right = [*truth, 19, 23, 19][at : at + min(room, 7)]
        return tuple((t + (i % wrong_every == 0)) % 2048 for i, t in enumerate(right, at))

    return draft


@pytest.mark.parametrize("wrong_every", [1, 3, 5, 1000])
@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0.0},
        {"temperature": 1.5, "seed": 7, "top_p": 0.9},
        {"temperature": 0.0, "repetition_penalty": 1.3, "frequency_penalty": 0.5},
        {"temperature": 0.0, "max_tokens": 3},
        {"temperature": 1.5, "seed": 3, "structured_outputs": REGEX},
    ],
)
def test_guesses_change_nothing_but_the_number_of_steps(monkeypatch, needle, params, wrong_every):
    """Right or wrong, in any mixture: the same tokens, text, log-probabilities and end."""
    prompt = torch.randint(20, 2000, (45,), generator=torch.Generator().manual_seed(1)).tolist()
    monkeypatch.setattr(PromptLookup, "draft", lambda self, room: ())
    ids, text, logprobs, end, metrics = ask(needle, prompt, **params)
    assert (metrics.num_draft_tokens, metrics.num_accepted_tokens) == (0, 0)
    monkeypatch.setattr(PromptLookup, "draft", guesses(ids, prompt, wrong_every))
    again, same_text, same_logprobs, same_end, metrics = ask(needle, prompt, **params)
    assert (again, same_text, same_end) == (ids, text, end)
    for one, other in zip(logprobs, same_logprobs, strict=True):
        assert one.keys() == other.keys()
        assert all(one[t].logprob == pytest.approx(other[t].logprob, abs=1e-3) for t in one)
    assert metrics.num_draft_tokens > 0
    assert (metrics.num_accepted_tokens > 0) == (wrong_every > 1)
    assert metrics.num_generated_tokens == len(ids)
    needle.engine.check()


def test_an_answer_ends_where_it_would(monkeypatch, needle):
    """A stop id or a stop string inside a draft: what was guessed beyond is not part of it."""
    prompt = torch.randint(20, 2000, (45,), generator=torch.Generator().manual_seed(2)).tolist()
    monkeypatch.setattr(PromptLookup, "draft", lambda self, room: ())
    ids, text, *_ = ask(needle, prompt, temperature=0.0)
    monkeypatch.setattr(PromptLookup, "draft", guesses(ids, prompt, 1000))
    stop = next(token for at, token in enumerate(ids) if at > 3 and token not in ids[:at])
    some, *_, end, _ = ask(needle, prompt, temperature=0.0, stop_token_ids=[stop])
    assert some == ids[: ids.index(stop) + 1]
    assert end == ("stop", stop)
    part = text[12:15]
    _, some, *_, end, _ = ask(needle, prompt, temperature=0.0, stop=[part])
    assert some == text[: text.index(part)]
    assert end == ("stop", part)


def test_an_answer_over_a_document_is_guessed(needle):
    """What the question and the text say is said again in fewer steps than tokens."""
    encode = lambda text: needle.tokenizer.encode(text, allow_special=False)  # noqa: E731
    document = build_document(encode, 1500, seed=3, num_questions=4)
    for question in document.questions:
        params = SamplingParams(temperature=0, max_tokens=60)
        ids = needle.encode_chat(document.messages(question))
        [output] = needle.generate([{"prompt_token_ids": ids}], params)
        assert output.metrics.num_accepted_tokens >= 4


def test_who_is_not_alone_is_not_guessed_for(needle):
    """Beside others a step's rows are theirs; nor where attention is counted row by row."""
    ids = [5, 6, 7, 8, 9] * 20
    params = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
    outputs = needle.generate([{"prompt_token_ids": ids}, {"prompt_token_ids": ids[1:]}], params)
    assert sum(output.metrics.num_draft_tokens for output in outputs) == 0
    request = PromptRequest(prompt_token_ids=ids, params=params, attention_spans=((0, 40),))
    *_, last = needle.generate_requests([request])
    assert last.metrics.num_draft_tokens == 0


@pytest.mark.parametrize("count", [-1, 128, 1.5, True])
def test_how_many_is_checked(count):
    """A whole number of at most a question's rows."""
    with pytest.raises(InvalidRequestError, match="num_speculative_tokens"):
        EngineConfig(num_speculative_tokens=count)
