"""Words of a text, for search and for finding an answer again."""

from __future__ import annotations

import re

from longreach.documents.folding import UNSPACED

_WORD = re.compile(
    rf"(?<!\w)\d+(?:[.,]\d+)+(?!\w)|(?P<unspaced>[{UNSPACED}]+)|[^\W{UNSPACED}]+", re.UNICODE
)


def split_words(text: str) -> list[str]:
    """Words and numbers in order, in lower case; "1,250.5" is one.

    Scripts without spaces between words give their pairs of neighbouring characters.
    """
    words: list[str] = []
    for match in _WORD.finditer(text.lower()):
        run = match.group()
        if match["unspaced"] and len(run) > 2:
            words += [run[i : i + 2] for i in range(len(run) - 1)]
        else:
            words.append(run)
    return words


def word_pattern(word: str) -> re.Pattern[str]:
    """Finds one of `split_words` in a text in lower case, as a whole."""
    if re.match(f"[{UNSPACED}]", word):
        return re.compile(re.escape(word))
    if word[0].isdigit():
        return re.compile(rf"(?<!\w)(?<!\d[.,]){re.escape(word)}(?![.,]?\d)(?!\w)")
    edge = rf"[^\W{UNSPACED}]"
    return re.compile(rf"(?<!{edge}){re.escape(word)}(?!{edge})")
