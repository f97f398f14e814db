"""The live line of a long prompt: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from longreach.cli.terminal import show_bytes, show_rate, show_seconds

FRAME_WIDTH = 10
"""Of the spinner, the shortest bar and the gaps."""
LINE_EVERY_SHARE = 0.1
LINE_EVERY_S = 5.0


def resident_bytes() -> int:
    """Memory that this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def leading(pieces: Sequence[str], separator: str, width: int) -> str:
    """As many of the first pieces, joined, as have room; the first one always."""
    for count in range(len(pieces), 1, -1):
        joined = separator.join(pieces[:count])
        if len(joined) <= width:
            return joined
    return pieces[0]


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
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[facts]}"),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._bar.start()
            title, facts = self._fitting("")
            self._task = self._bar.add_task(title, total=None, facts=facts)
        return self

    def answering(self) -> None:
        """The prompt is read; its answer is being written, for nobody knows how long."""
        if self._bar is not None and self._task is not None:
            title, text = self._fitting("answering")
            self._bar.update(self._task, description=title, facts=text)

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, processed: int, total: int, cached: int, eta_s: float | None) -> None:
        """Tokens read so far (cached ones included), of how many, and the seconds left."""
        facts = self._facts(processed, total, cached, eta_s)
        if self._bar is not None and self._task is not None:
            title, text = self._fitting(*facts)
            self._bar.update(
                self._task, description=title, completed=processed, total=total, facts=text
            )
        else:
            self._line(processed, total, " · ".join(facts))

    def _fitting(self, first: str, *others: str) -> tuple[str, str]:
        """The title, and facts beside it: whole ones, as many as the terminal has room for."""
        room = self.console.width - FRAME_WIDTH
        title = leading(self.title.split(", "), ", ", room - len(first))
        return title, leading([first, *others], " · ", room - len(title))

    def _facts(self, processed: int, total: int, cached: int, eta_s: float | None) -> list[str]:
        """What a person wants to know first comes first."""
        elapsed = time.perf_counter() - self._began_s
        rate = (processed - cached) / elapsed if elapsed > 0 and processed > cached else None
        recall = self.recall()
        parts = [f"{processed:,}/{total:,} tokens"]
        if eta_s:
            parts.append(f"{show_seconds(eta_s)} left")
        if rate is not None:
            parts.append(show_rate(rate))
        if self._shows_memory:
            parts.append(show_bytes(resident_bytes()))
        if recall is not None:
            parts.append(f"recall {recall:.3f}")
        return parts

    def _line(self, processed: int, total: int, facts: str) -> None:
        """Without a terminal: a line for every tenth of the prompt, five seconds apart at least."""
        share, now = processed / max(total, 1), time.perf_counter() - self._began_s
        wanted_share, wanted_s = self._next_line
        if share < 1 and (share < wanted_share or now < wanted_s):
            return
        self._next_line = (share + LINE_EVERY_SHARE, now + LINE_EVERY_S)
        self.console.print(f"{self.title}: {facts}", soft_wrap=True)
