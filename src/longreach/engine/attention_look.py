"""Where in its prompt an answer looked: the attention of its rows, summed over spans of the prompt.

The rows are those that a token is drawn from: the prompt's last one, then each decoded token but
the last. Every row counts once, however often preemption makes it run again. All heads of all
layers count alike, but neither a row's local window nor the first keys of the prompt: every head
looks there, whatever it reads (docs/lab.md has what else was tried).

Shape letters: T rows of a slice, N query heads, G kv heads, S physical slots, H head dim, P spans.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from longreach.errors import InvalidRequestError
from longreach.models.batch import AttentionChoice
from longreach.ops.attention import AttentionScratch, SliceMeta, span_mass
from longreach.ops.pattern import Pattern

SINKS, WINDOW = 30, 128
"""First keys, and newest keys of each row, that do not count: at most a SMALL_SHARE-th each."""
SMALL_SHARE = 16
MAX_SPANS = 2**16

Spans = Sequence[tuple[int, int]]


def check_spans(spans: Spans, num_prompt_tokens: int) -> None:
    """Raise InvalidRequestError unless the spans are ascending, disjoint parts of the prompt."""
    edges = [edge for span in spans for edge in span]
    ascending = all(a < b for a, b in spans) and all(a <= b for a, b in pairwise(edges))
    if len(spans) > MAX_SPANS or not ascending or edges[0] < 0 or edges[-1] > num_prompt_tokens:
        raise InvalidRequestError(
            "attention_spans",
            f"{len(spans)} spans, {list(spans[:4])}...",
            f"at most {MAX_SPANS} ascending, disjoint, non-empty [start, end) within the "
            f"{num_prompt_tokens} tokens of the prompt",
        )


class SeenSpans(NamedTuple):
    """What of the spans counts for one row: of them, [first, first + len(spans)), cut short."""

    first: int
    spans: Spans


def seen_spans(spans: Spans, row: int) -> SeenSpans:
    """The spans without the first keys of the prompt and the newest ones of the row."""
    few = (row + 1) // SMALL_SHARE
    begin, end = min(SINKS, few), row + 1 - min(WINDOW, few)
    first = bisect_right(spans, begin, key=lambda span: span[1])
    after = bisect_left(spans, end, key=lambda span: span[0])
    return SeenSpans(first, [(max(a, begin), min(b, end)) for a, b in spans[first:after]])


class AttentionLook:
    """Sums of one answer. A step's part counts once `keep_step` says that the step does."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self._mass = [0.0] * len(spans)
        self._step: list[tuple[int, Tensor]] = []

    def watch(
        self, choice: AttentionChoice, row: int, scratch: AttentionScratch
    ) -> AttentionChoice:
        """The same choice; when it is asked about the slice that `row` ends, that row counts."""
        return _Watched(choice, self, row, seen_spans(self.spans, row), scratch)

    def add(self, first: int, mass_P: Tensor) -> None:
        """Mass of the spans from `first` on, by one layer of the step that runs."""
        self._step.append((first, mass_P))

    def keep_step(self) -> None:
        """What was added since the last call stays."""
        for first, mass_P in self._step:
            for place, mass in enumerate(mass_P.tolist(), first):
                self._mass[place] += mass
        self._step.clear()

    def drop_step(self) -> None:
        """What was added since the last call never was: its row will come again."""
        self._step.clear()

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Each span's share of the attention that fell into any; None where none did."""
        total = sum(self._mass)
        return tuple(mass / total for mass in self._mass) if total > 0 else None


@dataclass(frozen=True)
class _Watched:
    choice: AttentionChoice
    look: AttentionLook
    row: int
    seen: SeenSpans
    scratch: AttentionScratch

    def choose(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern | None:
        if meta.num_keys == self.row + 1 and self.seen.spans:
            mass_NP = span_mass(q_TNH, k_GSH, meta, self.seen.spans, scratch=self.scratch)
            self.look.add(self.seen.first, mass_NP.sum(0))
        return self.choice.choose(layer, q_TNH, k_GSH, meta)
