"""Markdown on a terminal while it is still being written."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment

SPARE_LINES = 3
REFRESH_PER_SECOND = 12


class MarkdownStream:
    """Prints blocks for good once they are complete, and redraws the last one while it grows."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open = ""
        self._live: Live | None = None
        self._is_first = True

    def write(self, text: str) -> None:
        """The next piece of the text."""
        self._open += text
        done, self._open = split_blocks(self._open)
        if done.strip():
            self._print(done)
        if self._open.strip():
            self._draw()

    def finish(self) -> None:
        """The last block is complete too."""
        if self._open.strip():
            self._print(self._open)
        self._stop()
        self._open = ""

    def _print(self, text: str) -> None:
        self._stop()
        if not self._is_first:
            self._console.print()
        self._is_first = False
        self._console.print(_Block(text), end="")

    def _draw(self) -> None:
        if self._live is None:
            self._live = Live(
                console=self._console, transient=True, refresh_per_second=REFRESH_PER_SECOND
            )
            self._live.start()
        # Redrawing works on the screen alone, so of a long block only the end is shown.
        height = self._console.size.height - SPARE_LINES
        self._live.update(_Block(self._open, max_lines=max(1, height)))

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class _Block:
    """Rendered markdown without empty lines at its edges, or the last lines of it."""

    def __init__(self, text: str, max_lines: int | None = None) -> None:
        self._text = text
        self._max_lines = max_lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        free = options.update(height=None)
        lines = console.render_lines(Markdown(self._text), free, pad=False)
        while lines and _is_empty(lines[-1]):
            lines.pop()
        while lines and _is_empty(lines[0]):
            lines.pop(0)
        for line in lines[-self._max_lines :] if self._max_lines else lines:
            yield from line
            yield Segment.line()


def _is_empty(line: list[Segment]) -> bool:
    return not any(segment.text.strip() for segment in line)


def split_blocks(text: str) -> tuple[str, str]:
    """The complete blocks at the beginning of a text, and the rest.

    Blocks end at empty lines, but not inside a code fence, nor where an indented line goes on with
    a list.
    """
    lines = text.split("\n")
    cut, fence = 0, ""
    for i, line in enumerate(lines[:-1]):
        mark = line.lstrip()[:3]
        if fence:
            fence = "" if line.strip() == fence else fence
        elif mark in ("```", "~~~"):
            fence = mark
        elif not line.strip() and _begins_block(lines[i + 1], is_last=i + 2 == len(lines)):
            cut = i + 1
    return "\n".join([*lines[:cut], ""]) if cut else "", "\n".join(lines[cut:])


def _begins_block(line: str, *, is_last: bool) -> bool:
    """Whether a line after an empty one begins a block of its own; a line just begun may not."""
    if is_last and not line.strip():
        return False
    return not line.startswith((" ", "\t"))
