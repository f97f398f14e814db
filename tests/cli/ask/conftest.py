"""A model that reads prompts with a regular expression, behind the real tokenizer and template."""

from __future__ import annotations

import re

import pytest

from longreach.cli import engine as module
from longreach.engine.estimator import Estimator
from longreach.engine.outputs import CompletionOutput, RequestMetrics, RequestOutput
from support.fake_async_engine import needle_template, needle_tokenizer

PASS_KEY = re.compile(r"pass key is (\d+)\.")


def find_pass_key(prompt):
    """Says the pass key of a prompt, or that there is none."""
    found = PASS_KEY.search(prompt)
    return f"The pass key is {found[1]}." if found else "It is not in this part."


class FakeLLM:
    """What `longreach ask` uses of `LLM`. reply: prompt's text to answer. requests: as given."""

    model = "fake"
    engine = None

    def __init__(self):
        self.max_model_len = 100_000
        self.reply = find_pass_key
        self.requests, self.prompts = [], []
        self.fail = None
        self.is_closed = False
        self.tokenizer = needle_tokenizer()
        self.chat_template = needle_template()

    def encode_chat(self, messages):
        return self.chat_template.encode(messages)

    def generate_requests(self, requests, *, progress=None):
        for request in requests:
            if self.fail:
                raise self.fail
            self.requests.append(request)
            ids = request.prompt_token_ids
            assert len(ids) + request.params.max_tokens <= self.max_model_len
            text = self.tokenizer.decode(ids)
            self.prompts.append(text)
            if progress:
                progress(len(ids), len(ids), 0, 0.0)
            yield from self._answer(request, self.reply(text))

    def _answer(self, request, answer):
        ids, spans = request.prompt_token_ids, request.attention_spans
        metrics = RequestMetrics(
            ttft_s=0.5,
            decode_s=0.25,
            num_prompt_tokens=len(ids),
            num_cached_tokens=len(ids) // 2,
            num_generated_tokens=7,
            recall_min=0.9,
            recall_mean=0.97,
            decode_tokens_per_s=30.0,
        )
        for text, finished in ((answer[:5], False), (answer[5:], True)):
            reason = "stop" if finished else None
            output = CompletionOutput(index=0, text=text, token_ids=(1,), finish_reason=reason)
            yield RequestOutput(
                request_id="0",
                prompt=None,
                prompt_token_ids=ids,
                outputs=[output],
                finished=finished,
                metrics=metrics,
                attention=self._attention(ids, spans) if finished and spans else None,
            )

    def _attention(self, ids, spans):
        """Nine tenths on pages with a pass key, if there are any."""
        held = [bool(PASS_KEY.search(self.tokenizer.decode(ids[a:b]))) for a, b in spans]
        weights = [9.0 * len(spans) if here else 1.0 for here in held]
        return tuple(weight / sum(weights) for weight in weights)

    def close(self):
        self.is_closed = True


@pytest.fixture
def fake_llm(monkeypatch):
    """`longreach ask` loads this instead of a model; `.options` are what it asked for."""
    fake = FakeLLM()

    def load_llm(model, **options):
        fake.options = {"model": model, **options}
        return fake

    monkeypatch.setattr(module, "load_llm", load_llm)
    monkeypatch.setattr(Estimator, "num_cached", lambda self, ids, *rest: (0, len(ids) // 2))
    return fake


@pytest.fixture
def notes(tmp_path):
    """A text file of several stretches; the pass key stands in the third."""
    lines = [f"Line {i} tells of the weather in the hills, and of sheep." for i in range(200)]
    lines[100] = "The pass key is 28884. Remember it."
    path = tmp_path / "notes.txt"
    path.write_text("\n".join(lines))
    return path
