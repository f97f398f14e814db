"""What `longreach demo` prints while it runs and at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.status import Status
from rich.table import Table

from longreach.cli.reading import ReadingBar
from longreach.cli.terminal import show_bytes, show_rate, show_seconds, waiting
from longreach.evals.demo import Asked, DemoResult
from longreach.evals.lengths import show_length
from longreach.evals.needle import Document, Question


class TerminalView:
    """Prints each step of the demonstration on a console; implements evals.demo.DemoView."""

    def __init__(
        self, console: Console, model: str, recall: Callable[[], float | None] = lambda: None
    ) -> None:
        self.console, self.model, self.recall = console, model, recall
        self._bar: ReadingBar | Status | None = None

    def on_document(self, document: Document) -> None:
        """What is hidden where."""
        table = Table(title="Hidden in the text", title_justify="left", box=None, padding=(0, 2))
        table.add_column("what")
        table.add_column("value", style="bold")
        table.add_column("depth", justify="right")
        for item in sorted(document.planted, key=lambda planted: planted.depth):
            what = item.needle.key or "the pass key"
            table.add_row(escape(what), escape(item.needle.value), f"{item.depth:.0%}")
        self.console.print(
            f"A text of [bold]{document.num_tokens:,}[/bold] tokens for {escape(self.model)}."
        )
        self.console.print(table)

    def on_question(self, question: Question, index: int) -> None:
        """The question, and a bar for the one that reads the text."""
        self.console.print()
        self.console.print(f"[bold]Question {index + 1}[/bold]  {escape(question.text)}")
        title = "reading" if index == 0 else "from the cache"
        self._bar = ReadingBar(self.console, title, self.recall).start()

    def on_progress(self, processed: int, total: int, cached: int, eta_s: float | None) -> None:
        """Move the bar. Cached prompts are done before a bar is worth showing."""
        if isinstance(self._bar, ReadingBar) and 2 * cached < total:
            self._bar(processed, total, cached, eta_s)

    def on_answer(self, asked: Asked, index: int) -> None:
        """The answer, right or wrong, and what it took."""
        self.close()
        mark = "[green]✓[/green]" if asked.is_right else "[red]✗[/red]"
        self.console.print(f"[bold]Answer[/bold]      {escape(asked.reply.text.strip())} {mark}")
        self.console.print(f"[dim]{_cost(asked, index)}[/dim]")

    def on_dense_start(self, lengths: Sequence[int]) -> None:
        """Say what takes a moment now, and on a terminal that it goes on."""
        names = " and ".join(show_length(length) for length in lengths)
        what = f"measuring dense attention at {names} tokens"
        if not self.console.is_terminal:
            self.console.print(f"\n{what} ...")
        self._bar = waiting(what, self.console)
        self._bar.start()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _cost(asked: Asked, index: int) -> str:
    metrics = asked.reply.metrics
    first = f"first token after {show_seconds(asked.reply.ttft_s)}"
    if index == 0:
        return f"{first} · {show_rate(metrics.prefill_tokens_per_s)}"
    total = metrics.num_prompt_tokens or asked.reply.num_prompt_tokens
    return f"{first} · {metrics.num_cached_tokens:,} of {total:,} tokens came from the cache"


def show_result(console: Console, result: DemoResult) -> None:
    """The summary."""
    console.print()
    console.print(Panel(_summary(result), title="longreach demo", expand=False))


def _summary(result: DemoResult) -> Table:
    metrics, second = result.metrics, result.asked[1].reply
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("found", f"{len(result.found)} of {len(result.planted)} hidden values")
    table.add_row("prompt", f"{result.prompt_tokens:,} tokens")
    table.add_row("read in", show_seconds(result.asked[0].reply.ttft_s))
    table.add_row("speed", show_rate(metrics.prefill_tokens_per_s))
    table.add_row("peak memory", show_bytes(metrics.peak_bytes))
    table.add_row("attention recall", _recall(result))
    table.add_row("second question", f"first token after {show_seconds(second.ttft_s)}")
    if result.dense is not None:
        table.add_row("dense would take", _dense(result))
    return table


def _recall(result: DemoResult) -> str:
    metrics = result.metrics
    if metrics.density >= 1.0:
        return "1.0 (dense: everything was computed)"
    return (
        f"{metrics.recall_mean:.3f} on average, {metrics.recall_min:.3f} for the worst head, "
        f"computing {metrics.density:.2%} of the pairs"
    )


def _dense(result: DemoResult) -> str:
    dense = result.dense
    if dense is None:
        return ""
    measured = ", ".join(f"{n:,} tokens in {show_seconds(s)}" for n, s in dense.measured)
    ratio = dense.seconds / result.asked[0].reply.ttft_s
    return (
        f"about {show_seconds(dense.seconds)}, {ratio:.1f} x as long "
        f"[dim](extrapolated from {measured})[/dim]"
    )
