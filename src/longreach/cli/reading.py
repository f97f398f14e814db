"""The live line of a long prompt: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from longreach.cli.terminal import show_bytes, show_rate, show_seconds

LINE_EVERY_SHARE = 0.1
LINE_EVERY_S = 5.0


def resident_bytes() -> int:
    """Memory that this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


class ReadingBar:
    """Shows one prompt being read; call it with (processed, total, cached, eta_s).

    recall: returns the attention recall measured so far, or None where nothing was measured yet.
    shows_memory: whether the memory of this process says anything about the reading.
    """

    def __init__(
        self,
        console: Console,
        title: str,
        recall: Callable[[], float | None] = lambda: None,
        *,
        shows_memory: bool = True,
    ) -> None:
        self.console, self.title, self.recall = console, title, recall
        self._shows_memory = shows_memory
        self._began_s = time.perf_counter()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._next_line = (0.0, 0.0)

    def start(self) -> Self:
        """Begin to count time, and show the bar where there is a terminal."""
        self._began_s = time.perf_counter()
        if self.console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[facts]}"),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=None, facts="")
        return self

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, processed: int, total: int, cached: int, eta_s: float | None) -> None:
        """Tokens read so far (cached ones included), of how many, and the seconds left."""
        facts = self._facts(processed, total, cached, eta_s)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=processed, total=total, facts=facts)
        else:
            self._line(processed, total, facts)

    def _facts(self, processed: int, total: int, cached: int, eta_s: float | None) -> str:
        elapsed = time.perf_counter() - self._began_s
        rate = (processed - cached) / elapsed if elapsed > 0 and processed > cached else None
        recall = self.recall()
        parts = [f"{processed:,}/{total:,} tokens", show_rate(rate)]
        if eta_s:
            parts.append(f"{show_seconds(eta_s)} left")
        if self._shows_memory:
            parts.append(show_bytes(resident_bytes()))
        if recall is not None:
            parts.append(f"recall {recall:.3f}")
        return " · ".join(parts)

    def _line(self, processed: int, total: int, facts: str) -> None:
        """Without a terminal: a line for every tenth of the prompt, five seconds apart at least."""
        share, now = processed / max(total, 1), time.perf_counter() - self._began_s
        wanted_share, wanted_s = self._next_line
        if share < 1 and (share < wanted_share or now < wanted_s):
            return
        self._next_line = (share + LINE_EVERY_SHARE, now + LINE_EVERY_S)
        self.console.print(f"{self.title}: {facts}", soft_wrap=True)
