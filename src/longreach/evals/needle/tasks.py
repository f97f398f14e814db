"""Needles, the questions about them, and the wording of both.

Two families, in the words of their sources: the passkey test of the Qwen2.5-1M release post, and
the needle forms of RULER (arXiv 2404.06654), where a key is a pair of words, a number or a
hexadecimal string and a value is a number or a word. The small model answers in whole sentences
("The special magic number for quiet-harbor is: 4829173."); scoring looks for the values only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from longreach.evals.needle.words import ADJECTIVES, NOUNS

KINDS = ("passkey", "single", "number_key", "hex_key", "word_value", "multi_value", "multi_query")
PASSKEY_INTRO = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. "
    "I will quiz you about the important information there."
)
MAGIC_INTRO = (
    "Some special magic values are hidden within the following text. Make sure to memorize it. "
    "I will quiz you about the values afterwards."
)
PASSKEY_QUESTION = "What is the pass key?"
SYSTEM_PROMPT = "You answer questions about the text."


@dataclass(frozen=True, kw_only=True)
class Needle:
    """One hidden fact.

    text: the sentence that is planted. kind: "passkey", "number" or "word" (what the value is).
    key: "" for the pass key. value: what a question asks for.
    """

    text: str
    kind: str
    key: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question about a document.

    text: as asked. answer: every value that must appear in the output. reply: the full sentence(s)
    the small model is trained to say. depth: where the (first) needle was planted, 0 the start and
    1 the end of the document. kind: one of KINDS.
    """

    text: str
    answer: tuple[str, ...]
    reply: str
    depth: float
    kind: str


def passkey_needle(value: str) -> Needle:
    """The pass key, in the wording of the release post."""
    text = f"The pass key is {value}. Remember it. {value} is the pass key."
    return Needle(text=text, kind="passkey", key="", value=value)


def magic_needle(key: str, value: str, *, kind: str = "number") -> Needle:
    """RULER's needle. kind: "number" or "word"."""
    text = f"One of the special magic {kind}s for {key} is: {value}."
    return Needle(text=text, kind=kind, key=key, value=value)


def ask(needles: Sequence[Needle], *, depth: float, kind: str) -> Question:
    """The question whose answer is the values of these needles (all of one key for "multi_value").

    Multiple values of one key are asked for, and answered, in ascending order.
    """
    if kind == "passkey":
        return _ask_passkey(needles[0], depth)
    if kind == "multi_value":
        return _ask_multi_value(needles, depth)
    return _ask_keys(needles, depth, kind)


def _ask_passkey(needle: Needle, depth: float) -> Question:
    return Question(
        text=PASSKEY_QUESTION,
        answer=(needle.value,),
        reply=f"The pass key is {needle.value}.",
        depth=depth,
        kind="passkey",
    )


def _ask_multi_value(needles: Sequence[Needle], depth: float) -> Question:
    first = needles[0]
    values = tuple(sorted(n.value for n in needles))
    return Question(
        text=f"What are all the special magic {first.kind}s for {first.key}, in ascending order?",
        answer=values,
        reply=f"The special magic {first.kind}s for {first.key} are: {', '.join(values)}.",
        depth=depth,
        kind="multi_value",
    )


def _ask_keys(needles: Sequence[Needle], depth: float, kind: str) -> Question:
    """The reply names the key before each next one: finding that is copying from the list."""
    first = needles[0]
    verb, plural = ("What are", "s") if len(needles) > 1 else ("What is", "")
    keys = ", ".join(needle.key for needle in needles)
    replies = [f"The special magic {first.kind} for {first.key} is: {first.value}."]
    for before, needle in pairwise(needles):
        replies.append(f"After {before.key}, {needle.key} is: {needle.value}.")
    return Question(
        text=f"{verb} the special magic {first.kind}{plural} for {keys}?",
        answer=tuple(needle.value for needle in needles),
        reply=" ".join(replies),
        depth=depth,
        kind=kind,
    )


def word_key(rng: random.Random) -> str:
    """Two words, as RULER's keys: "quiet-harbor"."""
    return f"{rng.choice(ADJECTIVES)}-{rng.choice(NOUNS)}"


def number_value(rng: random.Random, *, digits: int = 7) -> str:
    """A number without a leading zero. RULER's have seven digits, the pass key five."""
    return str(rng.randrange(10 ** (digits - 1), 10**digits))


def hex_key(rng: random.Random, *, groups: int = 2) -> str:
    """A short uuid: groups of four hexadecimal digits joined by "-"."""
    return "-".join(f"{rng.randrange(16**4):04x}" for _ in range(groups))


def word_value(rng: random.Random) -> str:
    """One noun."""
    return rng.choice(NOUNS)


def draw_key(rng: random.Random, kind: str) -> str:
    """A key for a question of this kind (one of KINDS but "passkey")."""
    if kind == "number_key":
        return number_value(rng)
    return hex_key(rng) if kind == "hex_key" else word_key(rng)


def question_size(kind: str) -> int:
    """How many needles one question asks for: two values of one key, two keys, else one."""
    return 2 if kind.startswith("multi") else 1


def draw_needles(rng: random.Random, kind: str, *, count: int, taken: set[str]) -> list[Needle]:
    """`count` needles that one question of this kind asks for; their keys are added to `taken`.

    multi_value: one key, `count` values that differ in their first digit. Otherwise every needle
    has a key of its own.
    """
    if kind == "passkey":
        return [passkey_needle(number_value(rng, digits=5))]
    noun = "word" if kind == "word_value" else "number"
    keys = [_fresh_key(rng, kind, taken) for _ in range(1 if kind == "multi_value" else count)]
    keys = keys * count if kind == "multi_value" else keys
    values = [word_value(rng) if noun == "word" else number_value(rng) for _ in keys]
    while kind == "multi_value" and len({value[0] for value in values}) < len(values):
        values = [number_value(rng) for _ in keys]
    return [magic_needle(k, v, kind=noun) for k, v in zip(keys, values, strict=True)]


def _fresh_key(rng: random.Random, kind: str, taken: set[str]) -> str:
    while (key := draw_key(rng, kind)) in taken:
        pass
    taken.add(key)
    return key
