"""A model in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from longreach.cli.chat.backend import Event, Message, Piece, Thought, Usage
from longreach.cli.defaults import sampling_defaults

if TYPE_CHECKING:
    from longreach.engine.llm import LLM
    from longreach.engine.outputs import RequestOutput
    from longreach.engine.protocol import ProgressCallback
    from longreach.text.reasoning import Part, ReasoningSplitter


class LocalBackend:
    """`LLM` as a conversation sees it. What a checkpoint says of sampling is its default."""

    is_local = True

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._defaults = sampling_defaults(llm.engine.folder)
        self.name = llm.model
        self.max_context: int | None = llm.max_model_len

    def answer(
        self,
        messages: Sequence[Message],
        settings: Mapping[str, int | float],
        progress: ProgressCallback | None,
    ) -> Iterator[Event]:
        """See `Backend`. An answer may be as long as the context still has room."""
        from longreach.engine.sampling_params import SamplingParams

        token_ids = self._llm.encode_chat(messages)
        wanted: dict[str, Any] = {"max_tokens": None, **self._defaults, **settings}
        room = self._llm.max_model_len - len(token_ids)
        if wanted["max_tokens"] is not None and room > 0:
            wanted["max_tokens"] = min(wanted["max_tokens"], room)
        splitter = reasoning_splitter(self._llm, token_ids)
        last: RequestOutput | None = None
        for last in self._llm.stream(
            {"prompt_token_ids": token_ids}, SamplingParams(**wanted), progress=progress
        ):
            yield from map(event_of, splitter.feed(last.outputs[0].text))
        yield from map(event_of, splitter.finish())
        if last is not None:
            yield usage_of(last)


def reasoning_splitter(llm: LLM, token_ids: Sequence[int]) -> ReasoningSplitter:
    """Tells thoughts from the answer to this prompt, which may end with an open thought."""
    from longreach.text.reasoning import ReasoningSplitter, opens_reasoning

    end = llm.tokenizer.decode(token_ids[-8:], skip_special_tokens=False)
    return ReasoningSplitter(is_open=opens_reasoning(end))


def event_of(part: Part) -> Event:
    """A part of what the model says, as a conversation shows it."""
    from longreach.text.reasoning import ReasoningText

    return Thought(part.text) if isinstance(part, ReasoningText) else Piece(part.text)


def usage_of(output: RequestOutput) -> Usage:
    """What an answer took, from its last output."""
    metrics = output.metrics
    return Usage(
        num_prompt_tokens=len(output.prompt_token_ids),
        num_cached_tokens=metrics.num_cached_tokens,
        num_answer_tokens=metrics.num_generated_tokens,
        tokens_per_s=metrics.decode_tokens_per_s,
        is_cut=output.outputs[0].finish_reason == "length",
    )
