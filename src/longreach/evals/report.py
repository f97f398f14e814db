"""Answers summed up: task x length and depth x length tables with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from longreach.evals.lengths import show_length
from longreach.evals.needle import wilson_interval
from longreach.evals.runner import Answer

NUM_DEPTH_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A mean score with its 95 % Wilson interval. A question with k values counts as one trial."""

    total: int
    successes: float

    @property
    def share(self) -> float:
        """Mean score, 0 to 1."""
        return self.successes / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high end, clipped to [0, 1]."""
        return wilson_interval(self.successes, self.total)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.share:.2f} [{low:.2f}, {high:.2f}]"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells by row and column; a pair that was never asked has no cell."""

    title: str
    rows: tuple[Hashable, ...]
    columns: tuple[Hashable, ...]
    cells: dict[tuple[Hashable, Hashable], Cell]
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]

    def text(self, row: Hashable, column: Hashable) -> str:
        """The cell as text, empty when nothing was asked."""
        cell = self.cells.get((row, column))
        return "" if cell is None else str(cell)

    def lines(self) -> list[list[str]]:
        """Header and rows as strings."""
        header = [self.title, *self.column_names]
        named = zip(self.rows, self.row_names, strict=True)
        return [header, *([name, *(self.text(r, c) for c in self.columns)] for r, name in named)]


def by_task(answers: Sequence[Answer]) -> Table:
    """Rows: tasks and, last, all of them together. Columns: lengths."""
    kinds = tuple(dict.fromkeys(answer.kind for answer in answers))
    table = _table("task", answers, lambda answer: answer.kind, kinds, kinds)
    overall = _cells(answers, lambda _: "all")
    return Table(
        title="task",
        rows=(*kinds, "all"),
        columns=table.columns,
        cells=table.cells | overall,
        row_names=(*(kind.replace("_", "-") for kind in kinds), "all"),
        column_names=table.column_names,
    )


def by_depth(answers: Sequence[Answer], bins: int = NUM_DEPTH_BINS) -> Table:
    """Rows: equal parts of the document, from its start (0 %) to its end. Columns: lengths.

    A question for several values counts where the first of their needles stands.
    """
    rows = tuple(range(bins))
    names = tuple(f"{100 * b // bins}-{100 * (b + 1) // bins} %" for b in rows)
    return _table("depth", answers, lambda answer: depth_bin(answer.depth, bins), rows, names)


def depth_bin(depth: float, bins: int = NUM_DEPTH_BINS) -> int:
    """Which of `bins` equal parts a depth lies in."""
    return min(int(depth * bins), bins - 1)


def reading(answers: Sequence[Answer], length: int) -> dict[str, float | None]:
    """First questions (the whole document is read) and later ones (it is cached) of one length."""
    chosen = [a for a in answers if a.length == length]
    first = [a for a in chosen if 2 * a.num_cached_tokens < a.num_prompt_tokens]
    later = [a for a in chosen if 2 * a.num_cached_tokens >= a.num_prompt_tokens]
    return {
        "ttft_s": _mean(a.ttft_s for a in first),
        "cached_ttft_s": _mean(a.ttft_s for a in later),
        "recall_min": min((a.recall_min for a in chosen), default=None),
        "density": _mean(a.density for a in first),
        "peak_bytes": max((a.peak_bytes for a in chosen), default=None),
    }


def _table(
    title: str,
    answers: Sequence[Answer],
    row_of: Callable[[Answer], Hashable],
    rows: tuple[Hashable, ...],
    names: tuple[str, ...],
) -> Table:
    lengths = tuple(sorted({answer.length for answer in answers}))
    return Table(
        title=title,
        rows=rows,
        columns=lengths,
        cells=_cells(answers, row_of),
        row_names=names,
        column_names=tuple(show_length(length) for length in lengths),
    )


def _cells(
    answers: Iterable[Answer], row_of: Callable[[Answer], Hashable]
) -> dict[tuple[Hashable, Hashable], Cell]:
    scores: dict[tuple[Hashable, Hashable], list[float]] = {}
    for answer in answers:
        scores.setdefault((row_of(answer), answer.length), []).append(answer.score)
    return {k: Cell(total=len(found), successes=sum(found)) for k, found in scores.items()}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
