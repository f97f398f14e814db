"""The model that ships with the package, asked for real. One engine for the whole file."""

import pytest

from longreach import LLM
from longreach.evals.needle import build_document, build_single, score
from longreach.evals.reader import Reader

LENGTH = 16_384


@pytest.fixture(scope="module")
def llm():
    with LLM("needle", max_model_len=LENGTH + 512, sparse_min_tokens=4096) as llm:
        yield llm


@pytest.fixture(scope="module")
def reader(llm):
    return Reader(engine=llm, encode=llm.tokenizer.encode, encode_chat=llm.encode_chat)


@pytest.mark.slow
def test_it_finds_the_pass_key_in_16k_tokens(reader):
    """A pass key in the middle of 16K tokens of repeated sentences is found, read sparsely."""
    document = build_single(reader.encode, LENGTH - 160, seed=3, depth=0.5)
    question = document.questions[0]
    reply = reader.ask(document.messages(question), max_tokens=48)
    assert score(reply.text, question.answer) == 1.0, reply.text
    assert reply.num_prompt_tokens > 0.98 * LENGTH
    assert 0 < reply.metrics.recall_min <= 1.0


@pytest.mark.slow
def test_it_finds_facts_in_real_text_and_reads_it_once(reader):
    """Questions about a real text it never saw: most are answered, all but the first from cache."""
    document = build_document(reader.encode, 8000, seed=5, num_questions=6)
    replies = [reader.ask(document.messages(q), max_tokens=64) for q in document.questions]
    asked = zip(replies, document.questions, strict=True)
    found = sum(score(reply.text, question.answer) for reply, question in asked)
    assert found >= 4, [reply.text for reply in replies]
    assert all(reply.metrics.num_cached_tokens > 7500 for reply in replies[1:])


def test_a_short_question_is_answered(reader):
    """A question over a few lines needs no long text."""
    text = "The sky is blue. The pass key is 71432. Remember it. 71432 is the pass key. Here we go."
    messages = [
        {"role": "system", "content": "You answer questions about the text."},
        {"role": "user", "content": f"{text}\n\nWhat is the pass key?"},
    ]
    assert "71432" in reader.ask(messages, max_tokens=32).text
