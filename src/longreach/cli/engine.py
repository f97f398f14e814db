"""From options to an engine that can be asked. The heavy imports of every command are here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longreach.cli.terminal import waiting
from longreach.evals.reader import Messages, Reader

if TYPE_CHECKING:
    from longreach.engine.llm import LLM

ROOM = 512
"""Tokens of context beyond the prompt's wanted length: the answer, and a page or two of slack."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A loaded model. recall_now: recall of what is being read, None before it is known."""

    llm: LLM
    reader: Reader
    recall_now: Callable[[], float | None]


def load_llm(model: str, **options: Any) -> LLM:
    """The engine, with LLM's own defaults for whatever is not given; a terminal shows it load.

    A name that is no model is told at once, before the imports.
    """
    from longreach.models.registry import resolve_model

    resolve_model(model)
    with waiting(f"loading {model}"):
        from longreach.engine.llm import LLM

        return LLM(model, **options)


def open_reader(model: str, *, max_tokens: int, dca: bool = True, **options: Any) -> Opened:
    """A model ready for prompts of `max_tokens` tokens. dca=False: with plain rotary attention."""
    if not dca:
        options["dual_chunk_attention"] = False
    llm = load_llm(model, max_model_len=max_tokens + ROOM, **options)
    return Opened(llm=llm, reader=reader_of(llm), recall_now=lambda: recall_of(llm))


def reader_of(llm: LLM) -> Reader:
    """The engine as evaluations see it."""
    return Reader(engine=llm, encode=plain_encoder(llm), encode_chat=llm.encode_chat)


def plain_encoder(llm: LLM) -> Callable[[str], Sequence[int]]:
    """Text to ids, where markup in the text stays text."""
    return lambda text: llm.tokenizer.encode(text, allow_special=False)


def recall_of(llm: LLM) -> float | None:
    """Mean recall of the rows read so far, where any of them were read sparsely."""
    metrics = llm.current_metrics
    return None if metrics is None or metrics.density >= 1.0 else metrics.recall_mean


def count_tokens(model: str, text: str) -> int:
    """Tokens of a text, by the model's tokenizer."""
    from longreach.models.registry import resolve_model
    from longreach.text import Tokenizer

    return len(Tokenizer.from_directory(resolve_model(model)).encode(text, allow_special=False))


def weights_of(model: str) -> str:
    """A name for what a model's weight files hold, whatever they are called."""
    from longreach.config import default_cache_directory
    from longreach.engine.build import weights_digest
    from longreach.models.registry import resolve_model

    return weights_digest(resolve_model(model), default_cache_directory()).hex()[:16]


def messages_of(system: str | None, content: str) -> Messages:
    """One user turn, after a system message if there is one."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": content}]
