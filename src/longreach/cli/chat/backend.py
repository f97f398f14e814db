"""What a conversation needs of a model, wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from longreach.engine.protocol import ProgressCallback

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Thought:
    """The next piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class Piece:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an answer took. None where the server does not say.

    is_cut: the answer ended because max_tokens or the context was used up.
    """

    num_prompt_tokens: int | None = None
    num_cached_tokens: int | None = None
    num_answer_tokens: int | None = None
    tokens_per_s: float | None = None
    is_cut: bool = False


Event: TypeAlias = Thought | Piece | Usage


class Backend(Protocol):
    """A model that answers conversations."""

    name: str
    is_local: bool
    """Whether the model runs in this process."""
    max_context: int | None
    """Most tokens of a prompt and its answer, None where the server does not say."""

    def answer(
        self,
        messages: Sequence[Message],
        settings: Mapping[str, int | float],
        progress: ProgressCallback | None,
    ) -> Iterator[Event]:
        """Pieces as they come, then one Usage. Closing the iterator, or Ctrl-C, stops it.

        settings: what was set of `config.KEYS`. progress: called while the prompt is read, where
        the model tells. Raises LongreachError with a message for people.
        """
        ...
