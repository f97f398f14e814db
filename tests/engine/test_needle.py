"""The shipped model through the whole engine: a question about a long text."""

import pytest

from longreach import LLM, SamplingParams
from longreach.engine.protocol import PromptRequest
from longreach.models.registry import needle_directory

FILLER = (
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
)


@pytest.fixture(scope="module")
def llm():
    needle_directory()
    with LLM("needle", max_model_len=20_000, sparse_min_tokens=4096) as opened:
        yield opened


def conversation(llm, num_tokens, key):
    """A passkey question over about `num_tokens` tokens of filler, the key at two fifths."""
    count = num_tokens // len(llm.tokenizer.encode(FILLER))
    hidden = f"The pass key is {key}. Remember it. {key} is the pass key. "
    at = count * 2 // 5
    text = (
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize "
        "it. I will quiz you about the important information there.\n"
        + FILLER * at
        + hidden
        + FILLER * (count - at)
        + "\nWhat is the pass key?"
    )
    return [{"role": "user", "content": text}]


def test_needle_finds_a_passkey_in_16k_tokens_and_again_from_the_cache(llm):
    """A key hidden in 16K tokens is found with sparse attention, and found again at once."""
    params = SamplingParams(temperature=0.0, max_tokens=24)
    messages = conversation(llm, 16_000, 28884)
    (first,) = llm.chat(messages, params)
    assert "28884" in first.outputs[0].text
    assert first.outputs[0].finish_reason == "stop"
    assert first.metrics.density < 1
    (again,) = llm.chat(messages, params)
    assert again.outputs[0].token_ids == first.outputs[0].token_ids
    assert again.metrics.num_cached_tokens > 15_000


def test_the_answer_looked_where_the_key_is(llm):
    """Of spans of 500 tokens, the one that holds the pass key has the largest share."""
    ids = llm.encode_chat(conversation(llm, 6_000, 71553))
    text = "".join(llm.tokenizer.token_bytes(token).decode("latin-1") for token in ids)
    before = len(llm.tokenizer.encode(text[: text.index("The pass key is")], allow_special=True))
    spans = tuple((a, a + 500) for a in range(0, len(ids) - 500, 500))
    params = SamplingParams(temperature=0.0, max_tokens=24)
    request = PromptRequest(prompt_token_ids=ids, params=params, attention_spans=spans)
    *_, last = llm.generate_requests([request])
    assert last.attention.index(max(last.attention)) == before // 500
