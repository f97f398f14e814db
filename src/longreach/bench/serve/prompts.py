"""Random prompts of a given length in tokens, for a server whose tokenizer we do not have."""

from __future__ import annotations

import random
from dataclasses import dataclass

from longreach.bench.serve.client import StreamClient
from longreach.errors import LongreachError

_TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line "
    "end member law car city community name president team minute idea kid body information back "
    "parent face others level office door health person art war history party result change "
    "morning reason research girl guy moment air teacher force education"
)
_WORDS = _TEXT.split()
_PROBES = (64, 320)
"""Words of the two prompts that tell how many tokens a word is."""


@dataclass(frozen=True)
class PromptLengths:
    """How a server counts: tokens = fixed (its chat template) + words x per_word."""

    fixed: float
    per_word: float

    def num_words(self, num_tokens: int) -> int:
        """Words of a prompt of so many tokens, at least one."""
        return max(1, round((num_tokens - self.fixed) / self.per_word))


async def measure_lengths(client: StreamClient, rng: random.Random) -> PromptLengths:
    """Ask the server, with two short prompts. Raises LongreachError."""
    counts = []
    for num_words in _PROBES:
        record = await client.record(random_text(rng, num_words), 1)
        if record.error:
            raise LongreachError(record.error)
        counts.append(record.num_prompt_tokens)
    per_word = (counts[1] - counts[0]) / (_PROBES[1] - _PROBES[0])
    if per_word <= 0:
        raise LongreachError("the server does not tell prompt_tokens in the usage of its streams")
    return PromptLengths(counts[0] - per_word * _PROBES[0], per_word)


def random_text(rng: random.Random, num_words: int) -> str:
    """Words that no other prompt begins with, so that no cache can know them."""
    return " ".join(rng.choices(_WORDS, k=num_words))
