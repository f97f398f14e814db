"""Markdown that grows on a terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from longreach.cli.chat.markdown import MarkdownStream, split_blocks

TEXT = """# Title

Some *words* of a
paragraph.

```python
a = 1

b = 2
```

1. one

   still one

2. two
"""


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("a", ""),
        ("a\n\n", ""),
        ("a\n\nb", "a\n\n"),
        ("a\n\n  b", ""),
        ("```\na\n\nb", ""),
        ("```\na\n\nb\n```\n\nc", "```\na\n\nb\n```\n\n"),
        ("~~~\n```\n\nb\n~~~\n\nc", "~~~\n```\n\nb\n~~~\n\n"),
        ("a\n\n\nb\nc", "a\n\n\n"),
    ],
)
def test_blocks_end_at_empty_lines(text, done):
    """A block is complete when another one has begun: not in a fence, not before an indent."""
    assert split_blocks(text) == (done, text[len(done) :])


@given(st.text(alphabet="ab`~\n 1.#-", max_size=60))
def test_splitting_loses_nothing(text):
    """The two parts are the text, and splitting the rest again finds nothing new."""
    done, rest = split_blocks(text)
    assert done + rest == text
    assert split_blocks(rest) == ("", rest)


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_shows_the_text_once(step):
    """However it comes, what stays on the terminal are the rendered blocks in order."""
    console = Console(file=io.StringIO(), width=60, force_terminal=False, color_system=None)
    stream = MarkdownStream(console)
    for start in range(0, len(TEXT), step):
        stream.write(TEXT[start : start + step])
    stream.finish()
    shown = console.file.getvalue()
    places = [shown.index(part) for part in ("Title", "Some words of a", "a = 1", "b = 2", "two")]
    assert places == sorted(places)
    assert shown.count("b = 2") == 1
    assert "```" not in shown
