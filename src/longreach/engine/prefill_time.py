"""How long reading a prompt takes, from measured rates: between an easy text and a hard one.

The text decides how much of the past sparse attention reads, and nobody knows that before. So time
is told for both ends, and where one number is wanted, for their geometric mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from longreach.config import EngineConfig
from longreach.engine.calibrate import Rates
from longreach.engine.memory import Footprint
from longreach.ops.pattern import causal_pairs
from longreach.ops.sparse import NUM_LOCAL_KEYS
from longreach.ops.sparse.sampling import sample_rows

MOST_KEYS = 4096
"""Keys a row keeps of a text that needs many, under `adaptive`: an assumption."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """What a text asks of sparse attention.

    keys: kept by a row. scores_all: columns must be chosen, so every sampled row is scored; where
    the first and the nearest keys suffice, those rows alone that check it.
    """

    keys: int
    scores_all: bool


EASY = Text(keys=NUM_LOCAL_KEYS, scores_all=False)
HARD = Text(keys=MOST_KEYS, scores_all=True)


@dataclass(frozen=True, kw_only=True)
class PrefillTime:
    """Seconds to read a prompt: of an easy text and of a hard one."""

    least_s: float
    most_s: float

    @property
    def expected_s(self) -> float:
        """As far from the one as from the other, in proportion."""
        return sqrt(self.least_s * self.most_s)


def text_range(config: EngineConfig, num_tokens: int) -> tuple[Text, Text] | None:
    """The easiest and the hardest text of this length; None where such a prompt is dense."""
    policy = config.sparse
    if policy.is_dense(num_tokens):
        return None
    if policy.budget is not None:
        text = Text(keys=sum(policy.budget), scores_all=True)
        return text, text
    return (EASY if policy.mode == "adaptive" else HARD), HARD


def prefill_time(
    footprint: Footprint, rates: Rates, num_tokens: int, texts: tuple[Text, Text] | None
) -> PrefillTime:
    """Of a prompt of `num_tokens` whose text lies in this range; None: dense."""
    easy, hard = texts or (None, None)
    return PrefillTime(
        least_s=prefill_seconds(footprint, rates, num_tokens, easy),
        most_s=prefill_seconds(footprint, rates, num_tokens, hard),
    )


def prefill_seconds(
    footprint: Footprint, rates: Rates, num_tokens: int, text: Text | None
) -> float:
    """Linear work, choosing and attention of all layers, segment by segment. text None: dense."""
    length = footprint.engine.lone_slice_tokens
    attention_s = 0.0
    for start in range(0, num_tokens, length):
        rows = range(start, min(start + length, num_tokens))
        dense_s = causal_pairs(rows) * rates.pair_s
        sparse_s = _sparse_seconds(rates, rows, num_tokens, text) if text else dense_s
        attention_s += min(dense_s, sparse_s)
    return footprint.model.num_layers * (num_tokens * rates.row_s + attention_s)


def _sparse_seconds(rates: Rates, rows: range, num_tokens: int, text: Text) -> float:
    sampled = sample_rows(rows.start, len(rows), num_tokens)
    scored = sampled.num_scores if text.scores_all else sampled.num_fresh_scores
    choosing_s = rates.choice_s + scored * rates.scored_pair_s
    return choosing_s + len(rows) * text.keys * rates.kept_pair_s
