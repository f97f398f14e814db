"""What both evaluation commands do: plan, run with progress, print tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from platform import python_version
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from longreach.cli.reading import ReadingBar
from longreach.cli.terminal import (
    listing,
    show_bytes,
    show_seconds,
    stderr_console,
    stdout_console,
)
from longreach.errors import InvalidRequestError
from longreach.evals.lengths import parse_lengths, show_length
from longreach.evals.plan import DocumentPlan, EvalPlan, LengthPlan, default_plan
from longreach.evals.report import Table, by_depth, by_task, reading
from longreach.evals.runner import Answer, Event, run_plan

HAYSTACKS = ("real", "pages", "repeated")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The options of one evaluation, as given."""

    task: str
    model: str
    lengths: str
    questions: int | None
    documents: int | None
    kinds: tuple[str, ...]
    haystack: str
    sparse: str
    sparse_recall: float
    dca: bool
    dtype: str
    seed: int

    def plan(self) -> EvalPlan:
        """Checked. Raises InvalidRequestError naming the option."""
        if self.haystack not in HAYSTACKS:
            raise InvalidRequestError("haystack", self.haystack, f"one of {', '.join(HAYSTACKS)}")
        return EvalPlan(
            lengths=tuple(self._length(tokens) for tokens in parse_lengths(self.lengths)),
            kinds=self.kinds,
            haystack=self.haystack,  # type: ignore[arg-type]  # one of HAYSTACKS
            seed=self.seed,
        )

    def _length(self, tokens: int) -> LengthPlan:
        usual = default_plan(tokens, self.questions)
        documents = self.documents or usual.documents
        return LengthPlan(tokens=tokens, questions=usual.questions, documents=documents)

    def settings(self) -> dict[str, Any]:
        """What makes two runs comparable: everything but which lengths, and how many questions."""
        left_out = {"lengths", "questions", "documents"}
        kept = {key: value for key, value in asdict(self).items() if key not in left_out}
        return {**kept, "kinds": list(self.kinds)}


def evaluate(choices: Choices, *, save_to: Path | None, plot: Path | None) -> None:
    """Run, print, save, draw."""
    from longreach.cli.engine import open_reader, weights_of

    plan, settings = choices.plan(), choices.settings()
    if save_to is not None:
        # Whose library is the text, too.
        settings |= {"weights": weights_of(choices.model), "python": python_version()}
    status = stderr_console()
    longest = max(length.tokens for length in plan.lengths)
    opened = open_reader(
        choices.model,
        max_tokens=longest,
        dtype=choices.dtype,
        sparse=choices.sparse,
        sparse_recall=choices.sparse_recall,
        dca=choices.dca,
    )
    with watching(status) as watch:
        answers = run_plan(
            opened.reader,
            plan,
            settings=settings,
            save_to=save_to,
            listen=watch.on_event,
            progress=watch.on_progress,
        )
    show_answers(stdout_console(), choices, answers)
    if plot is not None:
        from longreach.evals.plot import plot_heat_map

        plot_heat_map(answers, plot, title=title_of(choices))
        status.print(f"heat map written to {plot}", soft_wrap=True)


class Watch:
    """Follows an evaluation on the console: one bar per document, one line per finished one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: ReadingBar | None = None
        self._right = 0.0
        self._asked = 0

    def on_event(self, event: Event) -> None:
        """A document begins (a new bar), or a question was answered."""
        name = _name_of(event.document)
        if event.answer is None:
            self.close()
            title = f"{name}, {event.done} of {event.total} questions done"
            self._bar = ReadingBar(self.console, title).start()
            return
        self._asked += 1
        self._right += event.answer.score
        if self._asked == event.document.num_questions:
            self.console.print(f"{name}: {self._right:g} of {self._asked}", soft_wrap=True)
            self._asked, self._right = 0, 0.0

    def on_progress(self, processed: int, total: int, cached: int, eta_s: float | None) -> None:
        """Tokens read; a question from the cache is over before it could be seen."""
        if self._bar is not None and 2 * cached < total:
            self._bar(processed, total, cached, eta_s)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _name_of(document: DocumentPlan) -> str:
    """Which document of an evaluation it is, for people."""
    length = document.length
    return f"{show_length(length.tokens)}, document {document.index + 1} of {length.documents}"


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """A Watch whose bar is gone at the end, however it ends."""
    watch = Watch(console)
    try:
        yield watch
    finally:
        watch.close()


def title_of(choices: Choices) -> str:
    """What was run, in a line."""
    parts = [choices.task, choices.model, f"sparse {choices.sparse}"]
    return ", ".join([*parts, "dual chunk attention" if choices.dca else "plain rotary attention"])


def show_answers(console: Console, choices: Choices, answers: list[Answer]) -> None:
    """Both tables and what reading took."""
    console.print(title_of(choices), style="bold", markup=False)
    for table in (by_task(answers), by_depth(answers)):
        console.print(rich_table(table))
    console.print(_reading_table(answers))


def rich_table(table: Table) -> RichTable:
    """The same table for a terminal: mean score and 95 % interval."""
    header, *rows = table.lines()
    shown = listing(*header, folds=header)
    for row in rows:
        shown.add_row(*row)
    return shown


def _reading_table(answers: list[Answer]) -> RichTable:
    names = ("length", "first answer", "from cache", "recall min", "density", "memory")
    table = listing(*names, folds=names, gap=1)
    for length in sorted({answer.length for answer in answers}):
        facts = reading(answers, length)
        table.add_row(
            show_length(length),
            show_seconds(facts["ttft_s"]),
            show_seconds(facts["cached_ttft_s"]),
            f"{facts['recall_min'] or 0:.3f}",
            f"{facts['density'] or 0:.2%}",
            show_bytes(facts["peak_bytes"] or 0),
        )
    return table
