"""The one view that higher floors (server, evaluation, agents) have of an engine.

They are written against `TextEngine`, so they run on a fake engine as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from longreach.errors import InvalidRequestError

if TYPE_CHECKING:
    from longreach.engine.outputs import RequestOutput
    from longreach.engine.sampling_params import SamplingParams


ProgressCallback = Callable[[int, int, int, float | None], object]
"""Called with (processed, total, cached, eta) while prompts are read: tokens read (cached ones
included), tokens to read, tokens found in the cache, seconds left or None while unknown."""


@dataclass(frozen=True, kw_only=True)
class PromptRequest:
    """One prompt and how to continue it. Exactly one of `prompt` and `prompt_token_ids` is given.

    cache_salt: requests with different salts never share cached pages.
    """

    params: SamplingParams
    prompt: str | None = None
    prompt_token_ids: Sequence[int] | None = None
    request_id: str | None = None
    cache_salt: str = ""

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.prompt_token_ids is None):
            raise InvalidRequestError(
                "prompt", self.prompt, "a text or prompt_token_ids, exactly one of them"
            )


@runtime_checkable
class TextEngine(Protocol):
    """Anything that turns prompts into answers."""

    def generate_requests(
        self, requests: Iterable[PromptRequest], *, progress: ProgressCallback | None = None
    ) -> Iterator[RequestOutput]:
        """Yield what is new for each request as it comes; the last output of each is `finished`."""
        ...

    def abort(self, request_id: str) -> None:
        """Stop a request. Pages finished before stay cached. Unknown ids are ignored."""
        ...
