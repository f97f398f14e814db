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

    def write(self, text: str) -> None:
        """The next piece of the text."""
        self._open += text
        done, self._open = split_blocks(self._open)
        if done.strip():
            self._stop()
            self._console.print(Markdown(done), end="\n\n")
        if self._open.strip():
            self._draw()

    def finish(self) -> None:
        """The last block is complete too."""
        self._stop()
        if self._open.strip():
            self._console.print(Markdown(self._open))
        self._open = ""

    def _draw(self) -> None:
        if self._live is None:
            self._live = Live(
                console=self._console, transient=True, refresh_per_second=REFRESH_PER_SECOND
            )
            self._live.start()
        self._live.update(_Tail(self._open))

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


class _Tail:
    """The last lines of a text, as many as the screen holds: redrawing works only there."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        free = options.update(height=None)
        lines = console.render_lines(Markdown(self._text), free, pad=False)
        for line in lines[-max(1, console.size.height - SPARE_LINES) :]:
            yield from line
            yield Segment.line()


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
