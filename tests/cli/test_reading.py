import io

import pytest
from rich.console import Console

from longreach.cli.reading import ReadingBar
from longreach.cli.terminal import show_bytes, show_rate, show_seconds


def test_without_a_terminal_lines_are_few():
    """A pipe gets some lines for a long prompt, the last one at its end."""
    out = io.StringIO()
    bar = ReadingBar(Console(file=out, width=200), "reading", lambda: 0.97).start()
    for done in range(0, 1001, 10):
        bar(done, 1000, 0, 1.0)
    bar.stop()
    lines = out.getvalue().splitlines()
    assert 1 <= len(lines) <= 12
    assert "1,000/1,000 tokens" in lines[-1]
    assert "recall 0.970" in lines[-1]


def test_a_terminal_gets_a_bar():
    """The bar shows tokens, rate, time left and memory, and is gone at the end."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200)
    bar = ReadingBar(console, "reading").start()
    bar(500, 1000, 0, 3.0)
    bar.stop()
    assert "500/1,000 tokens" in out.getvalue()
    assert "3.0 s left" in out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 110])
@pytest.mark.parametrize("title", ["reading", "128K, document 1 of 2, 10 of 400 questions done"])
def test_a_narrow_terminal_gets_fewer_facts_but_whole_ones(title, width):
    """How far it is stands everywhere; nothing is cut, and the bar has its place."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    bar = ReadingBar(console, title, lambda: 0.97).start()
    bar(500_000, 1_000_000, 0, 3000.0)
    bar.stop()
    shown = out.getvalue()
    assert "500,000/1,000,000 tokens" in shown
    assert "━" in shown
    assert "…" not in shown
    if title == "reading" and width >= 60:
        assert "50 min 0 s left" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.042, "42 ms"), (7.31, "7.3 s"), (292, "4 min 52 s"), (7380, "2 h 3 min"), (None, "-")],
)
def test_seconds(seconds, text):
    """The unit fits the size."""
    assert show_seconds(seconds) == text


def test_bytes_and_rates():
    """Binary units, and thousands apart."""
    assert [show_bytes(n) for n in (3 * 2**30, 5 * 2**20, 17)] == ["3.00 GiB", "5 MiB", "17 B"]
    assert show_rate(12345.6) == "12,346 tokens/s"
