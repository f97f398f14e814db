"""An engine without a model: it finds planted values with a regular expression."""

import os
import re
from dataclasses import dataclass, field

from longreach.engine.outputs import CompletionOutput, RequestMetrics, RequestOutput
from longreach.evals.reader import Reader

VALUE = re.compile(r"(?:for (\S+) is:|pass key is) (\w+)\.")


def encode(text):
    """A token per word and per gap, which is enough to count."""
    return re.findall(r"\S+|\s", text)


class Prompt(str):
    """A prompt's ids that remember their text."""

    __slots__ = ()

    def __len__(self):
        return len(encode(str(self)))


def encode_chat(messages):
    return Prompt("".join(f"<{m['role']}>{m['content']}\n" for m in messages) + "<assistant>")


def shared(a, b):
    return os.path.commonprefix([a, b])  # noqa: RUF071 - texts, not paths


@dataclass
class FakeEngine:
    """Answers in two pieces. `blind`: finds nothing. `fail`: raises this instead. `ends`: why."""

    blind: bool = False
    fail: BaseException | None = None
    density: float = 0.1
    ends: str = "stop"
    prompts: list = field(default_factory=list)

    def generate_requests(self, requests, *, progress=None):
        for request in requests:
            if self.fail:
                raise self.fail
            yield from self._answer(request, progress)

    def _answer(self, request, progress):
        text = str(request.prompt_token_ids)
        cached = max((len(encode(shared(p, text))) for p in self.prompts), default=0)
        self.prompts.append(text)
        tokens = encode(text)
        if progress:
            progress(cached, len(tokens), cached, None)
            progress(len(tokens), len(tokens), cached, 0.0)
        metrics = RequestMetrics(
            ttft_s=(len(tokens) - cached) / 1000 + 0.01,
            prefill_tokens_per_s=1000.0,
            num_prompt_tokens=len(tokens),
            num_cached_tokens=cached,
            recall_min=0.9,
            recall_mean=0.96,
            density=1.0 if len(tokens) <= 40_000 else self.density,
            peak_bytes=2**30,
        )
        answer = "I do not know." if self.blind else self._look_up(text)
        for piece, done in ((answer[:5], False), (answer[5:], True)):
            reason = self.ends if done else None
            output = CompletionOutput(index=0, text=piece, token_ids=(1,), finish_reason=reason)
            yield RequestOutput(
                request_id="0",
                prompt=None,
                prompt_token_ids=range(len(tokens)),
                outputs=[output],
                finished=done,
                metrics=metrics,
            )

    def _look_up(self, text):
        question = text.split("\n\n")[-1]
        facts = {}
        for key, value in VALUE.findall(text):
            facts.setdefault(key, []).append(value)
        if "pass key" in question:
            return f"The pass key is {facts[''][0]}."
        keys = [key for key in facts if key and key in question]
        return "; ".join(value for key in keys for value in facts[key])

    def abort(self, request_id):
        """Nothing runs between two calls."""


def fake_reader(**kwargs):
    return Reader(engine=FakeEngine(**kwargs), encode=encode, encode_chat=encode_chat)
