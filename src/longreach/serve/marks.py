"""Places in the turns of a conversation, found again in the prompt that a template makes of it.

A template may trim a text, or show something else because of it. So a second rendering, with
markers in the texts, tells where they went, and counts only as far as it is the same prompt.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longreach.serve.documents.library import Attachment
from longreach.serve.schema.caching import Breakpoint
from longreach.text import RenderedChat

Turn = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something at a character of a turn's text: the end of a prefix, or a document's beginning.

    turn: its index. before_turn: the place is where the turn itself begins, with its markup.
    """

    turn: int
    offset: int
    what: Breakpoint | Attachment
    before_turn: bool = False


def find_marks(
    render: Callable[[Sequence[Turn]], RenderedChat],
    turns: Sequence[Turn],
    marks: Sequence[Mark],
    prompt: RenderedChat,
) -> list[int]:
    """The offset of each mark in the text of `prompt`, the rendered turns.

    Where marks change what the template writes, those behind the change stay before it.
    """
    key = secrets.token_hex(8)
    marked = render(_with_markers(turns, marks, key)).text
    texts = re.split(f"{_OPEN}{key}:(\\d+){_CLOSE}", marked)
    text = prompt.text
    same = _num_common("".join(texts[::2]), text)
    found: dict[int, int] = {}
    at = 0
    for piece, number in zip(texts[::2], texts[1::2], strict=False):
        at += len(piece)
        found.setdefault(int(number), min(at, same))
    places = [found.get(number, 0) for number in range(len(marks))]
    edges = list(_markup(prompt))
    return [
        max((edge for edge in edges if edge <= place), default=0) if mark.before_turn else place
        for mark, place in zip(marks, places, strict=True)
    ]


_OPEN, _CLOSE = "\ue002", "\ue003"


def _with_markers(turns: Sequence[Turn], marks: Sequence[Mark], key: str) -> list[Turn]:
    """Copies of the turns, with a marker at each mark."""
    marked = [dict(turn) for turn in turns]
    numbered = sorted(enumerate(marks), key=lambda pair: (pair[1].offset, pair[0]), reverse=True)
    for number, mark in numbered:
        text = marked[mark.turn]["content"]
        marker = f"{_OPEN}{key}:{number}{_CLOSE}"
        marked[mark.turn]["content"] = text[: mark.offset] + marker + text[mark.offset :]
    return list(marked)


def _markup(prompt: RenderedChat) -> Iterator[int]:
    """Where special tokens begin."""
    at = 0
    for text, is_special in prompt.segments:
        if is_special:
            yield at
        at += len(text)


def _num_common(a: str, b: str) -> int:
    """Characters in common at the beginning, found by halving: comparing slices is fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
