r"""Text as it is compared with a quote of it, and the way back to the characters it came from.

A model copies words, not typography. So on both sides case is lowered, runs of white space are one
space (none beside Chinese or Japanese characters, which have none between words), all apostrophes
are one and so are all dashes, quotation marks and `**` are dropped, ligatures, full-width and
composed characters are written in one way, and a hyphen between two letters goes with the line end
behind it: "well-\nknown", "well-known" and "wellknown" are one word here. Nothing else is forgiven:
other letters or digits are another text.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from dataclasses import dataclass, field

# Characters of scripts that put no space between words.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
QUOTE_MARKS = "'\"`´‘’‚‛“”„‟«»‹›「」『』＂＇"
_INVISIBLE = "\u00ad\u200b-\u200d\u2060\ufeff"
_GAP = rf"[\s{_INVISIBLE}{re.escape(QUOTE_MARKS)}]"

_CHANGED = re.compile(
    rf"""
      (?P<hyphen>     (?<=[^\W\d_]) [-\u2010\u2011\u00ad] (?:\s*\n\s*)? (?=[^\W\d_]) )
    | (?P<line_end>   (?<=\S) [-\u2010\u2011] \s*\n\s* (?=\S) )
    | (?P<apostrophe> (?<=\w) ['’‘´`＇] (?=\w) )
    | (?P<nothing>    (?<=[{UNSPACED}]) {_GAP}+ | {_GAP}+ (?=[{UNSPACED}]) | \*\* )
    | (?P<gap>        {_GAP}{{2,}} | (?![ ]) {_GAP} )
    | (?P<dash>       [\u2010-\u2015\u2212] )
    | (?P<composed>   [^\W\d_][\u0300-\u036f]+ | [\u0130\u2026\ufb00-\ufb06\uff01-\uff5e] )
    """,
    re.VERBOSE,
)
_AS = {"hyphen": "", "line_end": "-", "apostrophe": "'", "nothing": "", "dash": "-"}


@dataclass(frozen=True)
class FoldedText:
    """A text made comparable. starts, ends: where each of its characters stood in the source."""

    source: str
    text: str
    starts: array[int] = field(repr=False)
    ends: array[int] = field(repr=False)

    def find(self, quote: str) -> tuple[int, int] | None:
        """[start, end) in the source of the first place where `quote`, folded, stands.

        Whole words and whole numbers only: "288" does not stand in "28884", nor "5 km" in
        "1.5 km" or "-5 km".
        """
        at = self.text.find(quote) if quote else -1
        while at >= 0:
            start, end = self.starts[at], self.ends[at + len(quote) - 1]
            if _is_whole(self.source, start, end):
                return start, end
            at = self.text.find(quote, at + 1)
        return None


def fold(source: str) -> FoldedText:
    """The text as it is compared (see above), with its way back."""
    pieces: list[str] = []
    starts, ends = array("q"), array("q")
    at = 0

    def put(piece: str, start: int, end: int) -> None:
        pieces.append(piece)
        if len(piece) == end - start:  # character by character
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
        else:
            starts.extend([start] * len(piece))
            ends.extend([end] * len(piece))

    for match in _CHANGED.finditer(source):
        put(source[at : match.start()].lower(), at, match.start())
        at = match.end()
        put(_replaced(str(match.lastgroup), match.group()), match.start(), at)
    put(source[at:].lower(), at, len(source))
    return FoldedText(source, "".join(pieces), starts, ends)


def _replaced(kind: str, text: str) -> str:
    if kind == "gap":
        return " " if any(map(str.isspace, text)) else ""
    if kind == "composed":
        return unicodedata.normalize("NFKC", text).lower()
    return _AS[kind]


def fold_quote(quote: str) -> str:
    """A quote as it is looked for: folded, without the punctuation that a sentence adds."""
    return fold(quote).text.strip(" .,;:!?")


_NUMBER_GOES_ON = re.compile(r"[.,]?\d")
_NUMBER_BEGAN = re.compile(r"(?:\d[.,]|(?<!\w)[-\u2212])$")
_SPACED_WORD = re.compile(rf"[^\W{UNSPACED}]")


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether [start, end) cuts neither a word nor a number."""
    before, first, last, after = (text[i : i + 1] for i in (start - 1, start, end - 1, end))
    cuts_word = _is_word(before if start else "", first) or _is_word(last, after)
    began = first.isdigit() and _NUMBER_BEGAN.search(text[max(start - 3, 0) : start])
    goes_on = last.isdigit() and _NUMBER_GOES_ON.match(text, end)
    return not (cuts_word or began or goes_on)


def _is_word(left: str, right: str) -> bool:
    """Whether two neighbours belong to one word of a script that puts spaces between words."""
    return bool(_SPACED_WORD.match(left) and _SPACED_WORD.match(right))
