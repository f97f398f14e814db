"""Where in its prompt an answer looked: the attention of its rows, summed over spans of the prompt.

The rows are those that a token is drawn from: the prompt's last one, then each decoded token but
the last. Every row counts once, however often preemption makes it run again.

Shape letters: T rows of a slice, N query heads, G kv heads, S physical slots, H head dim, P spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from longreach.errors import InvalidRequestError
from longreach.models.batch import AttentionChoice
from longreach.ops.attention import AttentionScratch, SliceMeta
from longreach.ops.pattern import Pattern
from longreach.ops.span_mass import span_mass

Spans = Sequence[tuple[int, int]]


def check_spans(spans: Spans, num_prompt_tokens: int) -> None:
    """Raise InvalidRequestError unless the spans are ascending, disjoint parts of the prompt."""
    edges = [edge for span in spans for edge in span]
    is_ascending = all(a <= b for a, b in pairwise(edges)) and all(a < b for a, b in spans)
    if not is_ascending or (edges and not 0 <= edges[0] <= edges[-1] <= num_prompt_tokens):
        raise InvalidRequestError(
            "attention_spans",
            list(spans[:8]),
            f"ascending, disjoint, non-empty [start, end) within the {num_prompt_tokens} prompt "
            "tokens",
        )


class AttentionLook:
    """Sums of one answer. A step's part counts once `keep_step` says that the step does."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self._kept_P: Tensor | None = None
        self._step: list[Tensor] = []

    def watch(
        self, choice: AttentionChoice, row: int, scratch: AttentionScratch
    ) -> AttentionChoice:
        """The same choice; when it is asked about the slice that `row` ends, that row counts."""
        return _Watched(choice, self, row, scratch)

    def add(self, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta, scratch: AttentionScratch) -> None:
        """Count the slice's last row in one layer."""
        mass_NP = span_mass(q_TNH, k_GSH, meta, self.spans, scratch=scratch)
        self._step.append(mass_NP.sum(0))

    def keep_step(self) -> None:
        """What was added since the last call stays."""
        for mass_P in self._step:
            self._kept_P = mass_P if self._kept_P is None else self._kept_P + mass_P
        self._step.clear()

    def drop_step(self) -> None:
        """What was added since the last call never was: its row will come again."""
        self._step.clear()

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Each span's share of the attention that fell into any; None before the first row."""
        if self._kept_P is None:
            return None
        total = float(self._kept_P.sum())
        return tuple((self._kept_P / total).tolist()) if total > 0 else (0.0,) * len(self.spans)


@dataclass(frozen=True)
class _Watched:
    choice: AttentionChoice
    look: AttentionLook
    row: int
    scratch: AttentionScratch

    def choose(self, layer: int, q_TNH: Tensor, k_GSH: Tensor, meta: SliceMeta) -> Pattern | None:
        if meta.num_keys == self.row + 1:
            self.look.add(q_TNH, k_GSH, meta, self.scratch)
        return self.choice.choose(layer, q_TNH, k_GSH, meta)
