"""How questions of one call are answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longreach.engine.sampling_params import SamplingParams


class OverLength(StrEnum):
    """What is done with documents that no single prompt holds."""

    SEARCH = "search"
    MAP_REDUCE = "map-reduce"


@dataclass(frozen=True, kw_only=True)
class AskSettings:
    """over_length: None asks a person, or refuses. pin_s: seconds that documents stay cached.

    pins: whether they are pinned at all; pin_s None is then for ever.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    seed: int | None = None
    over_length: OverLength | None = None
    pins: bool = False
    pin_s: float | None = None

    @property
    def params(self) -> SamplingParams:
        """As the engine takes them. Raises InvalidRequestError."""
        from longreach.engine.sampling_params import SamplingParams

        return SamplingParams(
            max_tokens=self.max_tokens, temperature=self.temperature, seed=self.seed
        )
