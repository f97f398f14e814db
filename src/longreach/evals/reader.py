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
    """What the model said, and what it took.

    ttft_s: seconds from the text of the messages to the first token, so with the template and the
    tokenizer (the engine's own clock, in metrics, starts after them).
    """

    text: str
    num_prompt_tokens: int
    metrics: RequestMetrics
    ttft_s: float


@dataclass(frozen=True, kw_only=True)
class Reader:
    """An engine with the two things it does not tell: its tokenizer and its chat template.

    encode: plain text -> token ids. encode_chat: chat messages -> the prompt's ids, ending where
    the assistant begins.
    """

    engine: TextEngine
    encode: Callable[[str], Sequence[int]]
    encode_chat: Callable[[Messages], Sequence[int]]

    def ask(
        self, messages: Messages, *, max_tokens: int, progress: ProgressCallback | None = None
    ) -> Reply:
        """Answer greedily. Raises what the engine raises, and the error a request ended with."""
        start, ttft_s, pieces, last = time.perf_counter(), 0.0, [], None
        params = SamplingParams(temperature=0.0, max_tokens=max_tokens)
        request = PromptRequest(prompt_token_ids=self.encode_chat(messages), params=params)
        for last in self.engine.generate_requests([request], progress=progress):
            ttft_s = ttft_s or time.perf_counter() - start
            pieces.append(last.outputs[0].text if last.outputs else "")
        if last is None:
            raise RuntimeError("the engine gave no answer")
        if last.error is not None:
            raise last.error
        return Reply(
            text="".join(pieces),
            num_prompt_tokens=len(last.prompt_token_ids),
            metrics=last.metrics,
            ttft_s=ttft_s,
        )
