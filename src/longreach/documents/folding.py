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
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

# Characters of scripts that put no space between words.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
QUOTE_MARKS = "'\"`´‘’‚‛“”„‟«»‹›「」『』＂＇"
_INVISIBLE = "\u00ad\u200b-\u200d\u2060\ufeff"
_GAP = rf"[\s{_INVISIBLE}{re.escape(QUOTE_MARKS)}]"

_RULES = rf"""
      (?P<hyphen>     (?<=[^\W\d_]) [-\u2010\u2011\u00ad] (?:\s*\n\s*)? (?=[^\W\d_]) )
    | (?P<line_end>   (?<=\S) [-\u2010\u2011] \s*\n\s* (?=\S) )
    | (?P<apostrophe> (?<=\w) ['’‘´`＇] (?=\w) )
    | (?P<nothing>    (?<=[{UNSPACED}]) {_GAP}+ | {_GAP}+ (?=[{UNSPACED}]) | \*\* )
    | (?P<gap>        {_GAP}{{2,}} | (?![ ]) {_GAP} )
    | (?P<dash>       [\u2010-\u2015\u2212] )
    | (?P<width>      [\u0130\u2026\ufb00-\ufb06\uff01-\uff5e] )
"""
# What none of the rules begins with is passed over quickly.
_PLAIN = rf"[\w.,;:()\[\]{{}}=/<>+{UNSPACED}]"
_CHANGED = re.compile(
    rf"(?!(?![\u0130\ufb00-\ufb06\uff01-\uff5e]){_PLAIN})(?:{_RULES})", re.VERBOSE
)
_MARK = re.compile(r"[\u0300-\u036f]")
_CHANGED_WITH_MARKS = re.compile(
    rf"(?P<composed> [^\W\d_][\u0300-\u036f]+ ) | {_RULES}", re.VERBOSE
)
_AS = {"hyphen": "", "line_end": "-", "apostrophe": "'", "nothing": "", "dash": "-"}


@dataclass(frozen=True)
class FoldedText:
    """A text made comparable, in runs that lead back to its source.

    offsets: where each run begins in `text`. spans: [start, end) of each in `source`; one of the
    same length stands for it character by character, another as a whole.
    """

    source: str
    text: str
    offsets: list[int] = field(repr=False)
    spans: list[tuple[int, int]] = field(repr=False)

    def find(self, quote: str) -> tuple[int, int] | None:
        """[start, end) in the source of the first place where `quote`, folded, stands.

        Whole words and whole numbers only: "288" does not stand in "28884", nor "5 km" in
        "1.5 km" or "-5 km".
        """
        at = self.text.find(quote) if quote else -1
        while at >= 0:
            start, end = self.span_of(at)[0], self.span_of(at + len(quote) - 1)[1]
            if _is_whole(self.source, start, end):
                return start, end
            at = self.text.find(quote, at + 1)
        return None

    def span_of(self, at: int) -> tuple[int, int]:
        """[start, end) of the source that the character at `at` of the text stands for."""
        run = bisect_right(self.offsets, at) - 1
        start, end = self.spans[run]
        stop = self.offsets[run + 1] if run + 1 < len(self.offsets) else len(self.text)
        if stop - self.offsets[run] != end - start:
            return start, end
        place = start + at - self.offsets[run]
        return place, place + 1


def fold(source: str) -> FoldedText:
    """The text as it is compared (see above), with its way back."""
    rules = _CHANGED_WITH_MARKS if _MARK.search(source) else _CHANGED
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for match in rules.finditer(source):
        start, end = match.span()
        if at < start:
            pieces.append(source[at:start].lower())
            spans.append((at, start))
        if piece := _replaced(str(match.lastgroup), match.group()):
            pieces.append(piece)
            spans.append((start, end))
        at = end
    if at < len(source):
        pieces.append(source[at:].lower())
        spans.append((at, len(source)))
    offsets = list(accumulate(map(len, pieces), initial=0))[:-1]
    return FoldedText(source, "".join(pieces), offsets, spans)


def _replaced(kind: str, text: str) -> str:
    if kind == "gap":
        return " " if any(map(str.isspace, text)) else ""
    if kind in ("composed", "width"):
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
