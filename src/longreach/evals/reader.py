"""Ask a chat question of any engine: the one call that evaluations and the demo make."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from longreach.engine.outputs import RequestMetrics
from longreach.engine.protocol import ProgressCallback, PromptRequest, TextEngine
from longreach.engine.sampling_params import SamplingParams

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model said, and what it took. total_s: seconds from the call to the last token."""

    text: str
    num_prompt_tokens: int
    metrics: RequestMetrics
    total_s: float


@dataclass(frozen=True, kw_only=True)
class Reader:
    """An engine with the two things it does not tell: its tokenizer and its chat template.

    encode: text -> token ids, without special tokens. render: chat messages -> the prompt's text,
    ending where the assistant begins.
    """

    engine: TextEngine
    encode: Callable[[str], Sequence[int]]
    render: Callable[[Messages], str]

    def ask(
        self, messages: Messages, *, max_tokens: int, progress: ProgressCallback | None = None
    ) -> Reply:
        """Answer greedily. Raises what the engine raises, and the error a request ended with."""
        params = SamplingParams(temperature=0.0, max_tokens=max_tokens)
        request = PromptRequest(prompt=self.render(messages), params=params)
        start, pieces, last = time.perf_counter(), [], None
        for last in self.engine.generate_requests([request], progress=progress):
            pieces.append(last.outputs[0].text if last.outputs else "")
        if last is None:
            raise RuntimeError("the engine gave no answer")
        if last.error is not None:
            raise last.error
        return Reply(
            text="".join(pieces),
            num_prompt_tokens=len(last.prompt_token_ids),
            metrics=last.metrics,
            total_s=time.perf_counter() - start,
        )
