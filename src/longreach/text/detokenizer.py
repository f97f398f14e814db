"""Token ids to text as they come, holding back what may still change or be cut off.

Held back: bytes of a character that is not complete yet, and an end of the text that may become a
stop string. Any split of the ids into calls gives the same text, and without stop strings that
text is `Tokenizer.decode` of all of them.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from longreach.text.tokenizer import Tokenizer


class StopStrings:
    """Finds the first stop string in a stream of text and holds back what may become one.

    The match that *ends* first counts (of two that end together the longer), so it does not depend
    on how the text comes in pieces.
    include: the stop string stays in the text, and nothing needs to be held back.
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = tuple(stops)
        self._include = include
        self._longest = max(map(len, self._stops), default=0)
        self._tail = (
            ""  # the last characters seen, enough to hold any stop string but its last character
        )
        self._held = 0  # how many of them are not given out yet
        self.found: str | None = None

    def add(self, text: str, *, may_stop: bool = True) -> str:
        """The text that is safe to give out now; may_stop=False: no stop may end in `text`."""
        if self.found is not None or not text:
            return ""
        seen = self._tail + text
        end, stop = self._first_match(seen, len(self._tail)) if may_stop else (len(seen), None)
        given = len(self._tail) - self._held
        if stop is not None:
            self.found, self._tail, self._held = stop, "", 0
            return seen[given : end if self._include else max(given, end - len(stop))]
        held = 0 if self._include else self._may_become_stop(seen)
        self._tail = seen[max(0, len(seen) - max(self._longest - 1, held)) :]
        self._held = held
        return seen[given : len(seen) - held]

    def finish(self) -> str:
        """What was held back, now that no more text comes."""
        held = self._tail[len(self._tail) - self._held :]
        self._tail, self._held = "", 0
        return held

    def _first_match(self, seen: str, old: int) -> tuple[int, str | None]:
        """End and text of the stop string that ends first; `old` characters were searched."""
        best: tuple[int, int, str] | None = None
        for stop in self._stops:
            at = seen.find(stop, max(0, old - len(stop) + 1))
            if at >= 0:
                found = (at + len(stop), -len(stop), stop)
                best = found if best is None else min(best, found)
        return (len(seen), None) if best is None else (best[0], best[2])

    def _may_become_stop(self, seen: str) -> int:
        """Length of the longest end of `seen` that begins a stop string without completing it."""
        for length in range(min(self._longest - 1, len(seen)), 0, -1):
            end = seen[-length:]
            if any(len(stop) > length and stop.startswith(end) for stop in self._stops):
                return length
        return 0


class Detokenizer:
    """The text of one output, token by token.

    A token that ends the output by its id is not fed, unless include_stop_str_in_output. Stop
    strings do not count while they end within the first `min_tokens` tokens.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        stop: Sequence[str] = (),
        include_stop_str_in_output: bool = False,
        skip_special_tokens: bool = True,
        min_tokens: int = 0,
    ) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_ids if skip_special_tokens else frozenset()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopStrings(stop, include=include_stop_str_in_output)
        self._min_tokens = min_tokens
        self._num_tokens = 0
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        """Everything given out so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def stop(self) -> str | None:
        """The stop string that ended the output, if one did."""
        return self._stops.found

    def feed(self, token_ids: Iterable[int]) -> str:
        """Take tokens, return the text that is new and final; nothing after a stop string."""
        return self._give([self._one(int(token_id)) for token_id in token_ids])

    def finish(self) -> str:
        """The rest, once no more tokens come: bytes of an incomplete character read U+FFFD."""
        last = self._decoder.decode(b"", final=True)
        may_stop = self._num_tokens > self._min_tokens
        return self._give([self._stops.add(last, may_stop=may_stop), self._stops.finish()])

    def _one(self, token_id: int) -> str:
        if self.stop is not None:
            return ""
        self._num_tokens += 1
        if token_id in self._skipped:
            return ""
        text = self._decoder.decode(self._tokenizer.token_bytes(token_id))
        return self._stops.add(text, may_stop=self._num_tokens > self._min_tokens)

    def _give(self, parts: list[str]) -> str:
        new = "".join(parts)
        if new:
            self._parts.append(new)
        return new
