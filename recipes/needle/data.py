"""Training sequences: a haystack with needles and hard distractors, then questions in turns.

Every sequence is a function of the seed, the step and its place in the batch, so a run can resume
anywhere. One document serves several questions, asked in turn: more answers per token read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer

from longreach.evals.needle import documents, haystack, tasks
from longreach.evals.needle.haystack import Split
from needle.tokenizer import END_OF_TEXT

# (kind, share of the questions); shares need not add up to one.
MIX = (
    ("single", 0.34),
    ("passkey", 0.12),
    ("number_key", 0.14),
    ("hex_key", 0.06),
    ("word_value", 0.24),
    ("multi_query", 0.16),
    ("multi_value", 0.20),
)


@dataclass
class Example:
    """Token ids with, per token, whether it is part of an answer; and where each answer lies."""

    ids: list[int] = field(default_factory=list)
    is_answer: list[bool] = field(default_factory=list)
    answers: list[tuple[str, int, int]] = field(default_factory=list)
    document_end: int = 0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """ids [B, T], is_answer [B, T]; answers: (row, kind, start, end); document_end [B]."""

    ids: torch.Tensor
    is_answer: torch.Tensor
    answers: list[tuple[int, str, int, int]]
    document_end: torch.Tensor


class Source:
    """The text of one part of the split in one string, cut at random places."""

    def __init__(self, split: Split) -> None:
        files = haystack.library_files(split)
        self.text = "\n\n".join(haystack.read_library_file(path) for path in files)
        self.words = sorted(set(re.findall(r"[a-z]{3,10}", self.text)))

    def cut(self, rng: random.Random, num_chars: int) -> str:
        """A piece that begins at a line's start."""
        start = rng.randrange(max(len(self.text) - num_chars, 1))
        start = self.text.find("\n", start) + 1
        return self.text[start : start + num_chars]


def make_batch(
    tokenizer: Tokenizer,
    source: Source,
    *,
    length: int,
    batch_size: int,
    seed: str,
    hard: float = 0.7,
    dense: float = 0.0,
    copies: float = 0.0,
    lists: float = 0.0,
) -> Batch:
    """`batch_size` sequences of `length` tokens, padded at the end where a few are missing."""
    made = []
    for row in range(batch_size):
        rng = random.Random(f"{seed} {row}")
        if rng.random() < copies:
            made.append(make_copy(tokenizer, length, rng))
        else:
            made.append(
                make_sequence(tokenizer, source, length, rng, hard=hard, dense=dense, lists=lists)
            )
    pad = tokenizer.token_to_id(END_OF_TEXT)
    ids = torch.full((batch_size, length), pad)
    is_answer = torch.zeros(batch_size, length, dtype=torch.bool)
    answers = []
    for row, sequence in enumerate(made):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
        is_answer[row, : len(sequence.ids)] = torch.tensor(sequence.is_answer)
        answers += [(row, *answer) for answer in sequence.answers]
    ends = torch.tensor([sequence.document_end for sequence in made])
    return Batch(ids=ids, is_answer=is_answer, answers=answers, document_end=ends)


def make_sequence(
    tokenizer: Tokenizer,
    source: Source,
    length: int,
    rng: random.Random,
    *,
    hard: float,
    dense: float,
    lists: float,
) -> Example:
    """One document with its questions, at most `length` tokens.

    hard: the share of documents with distractors and uncommon keys. dense: the share of documents
    that are hardly more than needles, all of which are asked for. lists: the share of documents
    with no other questions than those for several needles.
    """
    is_hard, is_dense, is_list = (rng.random() < share for share in (hard, dense, lists))
    asked = draw_questions(rng, source, length, is_hard=is_hard, is_dense=is_dense, is_list=is_list)
    planted = [documents.Planted(needle=n, depth=rng.random()) for _, ns in asked for n in ns]
    if is_hard:
        planted += draw_distractors(rng, [p.needle for p in planted], length)
    questions = [tasks.ask(needles, depth=0.0, kind=kind) for kind, needles in asked]
    intro = _intro(rng, [kind for kind, _ in asked])
    turns = "".join(_turn(q.text, q.reply) for q in questions)
    fixed = "\n".join([intro, turns, *(p.needle.text for p in planted)])
    room = length - len(tokenizer.encode(fixed).ids) - 40
    text = documents.plant(_haystack(tokenizer, source, room, rng), planted, intro=intro)
    sequence = _assemble(tokenizer, text, questions, question_first=rng.random() < 0.2)
    return _cut(sequence, length)


def make_copy(tokenizer: Tokenizer, length: int, rng: random.Random) -> Example:
    """A piece of random tokens, digits or words again and again; the repeats count as answers."""
    size = rng.randint(8, max(length // 2 - 4, 8))
    digits = [tokenizer.token_to_id(str(d)) for d in range(10)]
    few = rng.random() < 0.5
    many = range(256, tokenizer.get_vocab_size() - 3)
    piece = [
        rng.choice(digits) if few and rng.random() < 0.7 else rng.choice(many) for _ in range(size)
    ]
    ids = (piece * (length // size + 1))[:length]
    return Example(ids=ids, is_answer=[at > size for at in range(length)], document_end=length)


def draw_questions(
    rng: random.Random, source: Source, length: int, *, is_hard: bool, is_dense: bool, is_list: bool
) -> list[tuple[str, list[tasks.Needle]]]:
    """Kinds and needles of the questions: as many as fit in about half of a short sequence."""
    mix = [m for m in MIX if m[0].startswith("multi")] if is_list else MIX
    kinds, shares = zip(*mix, strict=True)
    count = 1 if length < 256 else rng.randint(1, min(12, length // 128))
    if is_dense:
        count = max(1, length // (160 if is_list else 68))
    taken: set[str] = set()
    asked, has_passkey = [], False
    for _ in range(count):
        kind = rng.choices(kinds, shares)[0]
        if (kind == "passkey" and has_passkey) or (length < 256 and kind.startswith("multi")):
            kind = "single"
        has_passkey |= kind == "passkey"
        size = tasks.question_size(kind)
        needles = tasks.draw_needles(rng, kind, count=size, taken=taken)
        vary = size == 1 and (is_hard or kind == "word_value")
        asked.append((kind, [_vary(rng, source, n) for n in needles] if vary else needles))
    return asked


def _vary(rng: random.Random, source: Source, needle: tasks.Needle) -> tasks.Needle:
    """Now and then a value of another length, or a key of words that are in no list of ours."""
    value, key = needle.value, needle.key
    if rng.random() < 0.25 and needle.kind != "word":
        value = tasks.number_value(rng, digits=rng.randint(3, 10))
    if needle.kind == "passkey":
        return tasks.passkey_needle(value)
    if rng.random() < 0.25 and "-" in key:
        key = "-".join(rng.choice(source.words) for _ in range(rng.randint(1, 3)))
    if rng.random() < 0.5 and needle.kind == "word":
        value = rng.choice(source.words) if rng.random() < 0.6 else made_up_word(rng)
    return tasks.magic_needle(key, value, kind=needle.kind)


def made_up_word(rng: random.Random) -> str:
    """Two to four syllables that no tokenizer has as one token: values to copy piece by piece."""
    syllables = (rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(4))
    return "".join(list(syllables)[: rng.randint(2, 4)]) + rng.choice(["", "n", "r", "st"])


def draw_distractors(
    rng: random.Random, needles: Sequence[tasks.Needle], length: int
) -> list[documents.Planted]:
    """Needles nobody asks for; half of them differ little from one that is asked for."""
    room = (length - 40 * len(needles)) // 90
    count = rng.randint(0, max(room, 0))
    keys = {n.key for n in needles}
    placed = []
    for _ in range(count):
        needle = _distractor(rng, rng.choice(needles))
        if needle.key not in keys:
            placed.append(documents.Planted(needle=needle, depth=rng.random()))
    return placed


def _distractor(rng: random.Random, asked: tasks.Needle) -> tasks.Needle:
    noun = "word" if asked.kind == "word" else "number"
    key = _near_key(rng, asked.key) if asked.key and rng.random() < 0.5 else ""
    key = key or tasks.draw_key(rng, rng.choice(("single", "single", "number_key", "hex_key")))
    value = tasks.word_value(rng) if noun == "word" else tasks.number_value(rng)
    if noun == "number" and rng.random() < 0.3:
        value = _near_number(rng, asked.value) if asked.value.isdigit() else value
    return tasks.magic_needle(key, value, kind=noun)


def _near_key(rng: random.Random, key: str) -> str:
    if key.isdigit():
        return _near_number(rng, key)
    parts = key.split("-")
    other = tasks.hex_key(rng) if any(c.isdigit() for c in key) else tasks.word_key(rng)
    parts[rng.randrange(len(parts))] = rng.choice(other.split("-"))
    return "-".join(parts)


def _near_number(rng: random.Random, number: str) -> str:
    digits = list(number)
    for _ in range(rng.randint(1, 3)):
        digits[rng.randrange(1, len(digits))] = str(rng.randrange(10))
    return "".join(digits)


def _intro(rng: random.Random, kinds: Sequence[str]) -> str:
    if rng.random() < 0.3:
        return ""
    return tasks.PASSKEY_INTRO if set(kinds) == {"passkey"} else tasks.MAGIC_INTRO


def _haystack(tokenizer: Tokenizer, source: Source, room: int, rng: random.Random) -> str:
    """About `room` tokens: mostly real text, also repeated sentences, pages, and text repeated."""
    if room <= 0:
        return ""
    draw = rng.random()
    text = source.cut(rng, room * 6 + 200)
    if draw < 0.12:
        text = haystack.repeated_text(room * 6)
    elif draw < 0.27:
        text = haystack.with_page_anchors(text, page_chars=rng.randint(300, 3000))
    elif draw < 0.37:
        text = "\n\n".join([text[: max(room, 200)]] * 6)
    elif draw < 0.47:
        text = _with_numbers(rng, text)
    offsets = tokenizer.encode(text).offsets
    return text[: offsets[min(room, len(offsets)) - 1][1]]


def _with_numbers(rng: random.Random, text: str) -> str:
    """The text with a line of a number now and then."""
    lines = text.split("\n")
    forms = ("{} = {}", "{}: {}", "The {} is {}.", "# {} number {}")
    for at in range(len(lines)):
        if rng.random() < 0.2:
            number = tasks.number_value(rng, digits=rng.randint(3, 8))
            lines[at] += "\n" + rng.choice(forms).format(rng.choice(tasks.NOUNS), number)
    return "\n".join(lines)


def _turn(question: str, reply: str) -> str:
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{reply}<|im_end|>\n"


def _assemble(
    tokenizer: Tokenizer, text: str, questions: Sequence[tasks.Question], *, question_first: bool
) -> Example:
    sequence = Example()

    def add(piece: str, *, is_answer: bool = False) -> None:
        ids = tokenizer.encode(piece).ids
        sequence.ids += ids
        sequence.is_answer += [is_answer] * len(ids)

    first = questions[0].text
    parts = [first, text] if question_first else [text, first]
    add(f"<|im_start|>system\n{tasks.SYSTEM_PROMPT}<|im_end|>\n<|im_start|>user\n")
    add("\n\n".join(parts) if question_first else text)
    sequence.document_end = len(sequence.ids)
    for index, question in enumerate(questions):
        if index:
            add(f"<|im_start|>user\n{question.text}")
        elif not question_first:
            add(f"\n\n{first}")
        add("<|im_end|>\n<|im_start|>assistant\n")
        start = len(sequence.ids)
        add(f"{question.reply}<|im_end|>", is_answer=True)
        sequence.answers.append((question.kind, start, len(sequence.ids)))
        add("\n")
    return sequence


def _cut(sequence: Example, length: int) -> Example:
    """Drops what stands beyond `length` tokens, answers that do not fit whole included."""
    sequence.answers = [a for a in sequence.answers if a[2] <= length]
    sequence.ids = sequence.ids[:length]
    sequence.is_answer = sequence.is_answer[:length]
    sequence.document_end = min(sequence.document_end, length)
    return sequence
