"""The text of a PDF's page made plain: ligatures, odd spaces, words cut at line ends."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
)
_MARKED_HYPHEN = re.compile("[\x02\ufffe](?:\r?\n)?|\u00ad\r?\n")
"""A hyphen at a line's end together with that end, as PDFium gives them."""
_LINE_ENDS = re.compile(r"\r\n?|[\f\v\x85\u2028\u2029]")
_SPACES = re.compile("[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ud800-\udfff\ufeff\ufffe\uffff]"
)
_CUT_WORD = re.compile(r"(\w+)-\n(\w+)")
_BLANK_LINES = re.compile(r"\n{3,}")


def tidy_page(raw: str) -> str:
    """One page's text: plain line ends, single plain spaces, no invisible characters."""
    text = _LINE_ENDS.sub("\n", _MARKED_HYPHEN.sub("-\n", raw))
    text = _INVISIBLE.sub("", text.translate(_LIGATURES))
    text = "\n".join(_SPACES.sub(" ", line).strip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip()


def join_hyphens(texts: Sequence[str]) -> list[str]:
    """Pages with the words joined that a line end cut: "exam-" and "ple" are "example".

    A hyphen stays where the document elsewhere writes the word with it, or where what it joins is
    no lower-case word ("Dijkstra-Scholten", "1914-1918").
    """
    written = set(re.findall(r"\w+-\w+", "\n".join(texts))) if _any_cut(texts) else set()

    def join(match: re.Match[str]) -> str:
        before, after = match[1], match[2]
        keeps = f"{before}-{after}" in written or not (before[-1].isalpha() and after[0].islower())
        return f"{before}-{after}" if keeps else before + after

    return [_CUT_WORD.sub(join, text) for text in texts]


def _any_cut(texts: Sequence[str]) -> bool:
    return any(_CUT_WORD.search(text) for text in texts)
