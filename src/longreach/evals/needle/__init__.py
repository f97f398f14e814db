"""The needle test: deterministic documents with hidden facts, questions about them, and scores.

Torch-free; used by `recipes/needle.py` (train part of the text), and by `longreach eval needle` and
`longreach demo` (held-out part). The calls a reader needs:

    encode = tokenizer.encode-like callable: str -> sequence of ids
    document = build_document(encode, 131072, seed=0, num_questions=8)   many needles and questions
    document = build_single(encode, 8192, seed=0, depth=0.5)             one needle at one depth
    messages = document.messages(document.questions[0])                  for LLM.chat
    share = score(output_text, document.questions[0].answer)             values found, 0 to 1
    low, high = wilson_interval(successes, total)                        95 % interval

`Question` carries text, answer (the values), reply, depth and kind; `Document` carries text,
num_tokens, planted and questions. Everything is a function of its arguments and the seed.
"""

from __future__ import annotations

from longreach.evals.needle.documents import (
    DEFAULT_KINDS,
    Document,
    Planted,
    build_document,
    build_single,
    fit_document,
    plant,
)
from longreach.evals.needle.haystack import (
    is_held_out,
    library_files,
    real_text,
    repeated_text,
    with_page_anchors,
)
from longreach.evals.needle.score import contains_value, score, wilson_interval
from longreach.evals.needle.tasks import KINDS, Needle, Question, ask, magic_needle, passkey_needle

__all__ = [
    "DEFAULT_KINDS",
    "KINDS",
    "Document",
    "Needle",
    "Planted",
    "Question",
    "ask",
    "build_document",
    "build_single",
    "contains_value",
    "fit_document",
    "is_held_out",
    "library_files",
    "magic_needle",
    "passkey_needle",
    "plant",
    "real_text",
    "repeated_text",
    "score",
    "wilson_interval",
    "with_page_anchors",
]
