"""One long prompt is read while short chats are being answered: what does each cost the other?

chats alone -> the prompt alone -> both: the prompt is sent once every chat is decoding
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, TypeVar

import numpy as np

from longreach.bench.serve.client import RequestRecord, StreamClient
from longreach.bench.serve.prompts import PromptLengths, random_text
from longreach.errors import LongreachError

T = TypeVar("T")

CHAT_PROMPT_TOKENS = 64
CHAT_TOKENS = 1024
"""Of one answer; a chat that ends while it is still measured begins another one."""
_STARTED_AFTER = 4
"""Pieces of text after which a chat counts as decoding."""

Report = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class MixedLoad:
    """Inter-token times of the chats in seconds, rates of the long prompt in tokens a second."""

    num_chats: int
    prefill_tokens: int
    itls_alone_s: Sequence[float]
    itls_mixed_s: Sequence[float]
    solo_rate: float
    mixed_rate: float

    def as_data(self) -> dict[str, Any]:
        """The figures as plain data; times in milliseconds."""
        alone, mixed = _p99_ms(self.itls_alone_s), _p99_ms(self.itls_mixed_s)
        return {
            "num_chats": self.num_chats,
            "prefill_tokens": self.prefill_tokens,
            "median_itl_alone_ms": _median_ms(self.itls_alone_s),
            "median_itl_mixed_ms": _median_ms(self.itls_mixed_s),
            "p99_itl_alone_ms": alone,
            "p99_itl_mixed_ms": mixed,
            "p99_itl_ratio": mixed / alone,
            "prefill_solo_tokens_per_s": self.solo_rate,
            "prefill_mixed_tokens_per_s": self.mixed_rate,
            "prefill_rate_share": self.mixed_rate / self.solo_rate,
            "num_itls_alone": len(self.itls_alone_s),
            "num_itls_mixed": len(self.itls_mixed_s),
        }


async def run_mixed(
    client: StreamClient,
    lengths: PromptLengths,
    *,
    prefill_tokens: int,
    num_chats: int,
    alone_s: float,
    rng: random.Random,
    report: Report,
) -> MixedLoad:
    """Measure. alone_s: how long the chats are watched alone. Raises LongreachError."""
    long_words = lengths.num_words(prefill_tokens)
    report(f"reading {prefill_tokens:,} tokens alone")
    solo = await _read(client, random_text(rng, long_words))
    async with Chats(client, lengths, num_chats, rng) as chats:
        report(f"{num_chats} chats alone for {alone_s:.0f} s")
        begin_s = time.perf_counter()
        await chats.beside(asyncio.sleep(alone_s))
        middle_s = time.perf_counter()
        report("both together")
        mixed = await chats.beside(_read(client, random_text(rng, long_words)))
    return MixedLoad(
        num_chats=num_chats,
        prefill_tokens=mixed.num_prompt_tokens,
        itls_alone_s=chats.gaps(begin_s, middle_s),
        itls_mixed_s=chats.gaps(mixed.started_s, mixed.times_s[0]),
        solo_rate=solo.num_prompt_tokens / solo.ttft_s,
        mixed_rate=mixed.num_prompt_tokens / mixed.ttft_s,
    )


class Chats:
    """Short conversations that are answered again and again until the block ends."""

    def __init__(
        self, client: StreamClient, lengths: PromptLengths, num_chats: int, rng: random.Random
    ) -> None:
        self._client = client
        self._num_words = lengths.num_words(CHAT_PROMPT_TOKENS)
        self._rng = rng
        self._streams: list[list[float]] = []
        self._num_chats = num_chats
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        started = [asyncio.Event() for _ in range(self._num_chats)]
        self._tasks = [asyncio.create_task(self._talk(event)) for event in started]
        for event in started:
            await self.beside(event.wait())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def beside(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something meanwhile. Raises LongreachError when it, or one of them, fails."""
        task = asyncio.create_task(work)
        done, _ = await asyncio.wait({task, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        if task not in done:
            task.cancel()
            for chat in done:
                await chat
        return await task

    def gaps(self, begin_s: float, end_s: float) -> list[float]:
        """Times between pieces of an answer that lie, wholly or in part, between two moments."""
        return [
            after - before
            for times in self._streams
            for before, after in pairwise(times)
            if before < end_s and after > begin_s
        ]

    async def _talk(self, started: asyncio.Event) -> None:
        while True:
            times: list[float] = []
            self._streams.append(times)
            prompt = random_text(self._rng, self._num_words)
            async with aclosing(self._client.stream(prompt, CHAT_TOKENS)) as chunks:
                async for chunk in chunks:
                    if chunk.text:
                        times.append(chunk.at_s)
                    if len(times) == _STARTED_AFTER:
                        started.set()


async def _read(client: StreamClient, prompt: str) -> RequestRecord:
    record = await client.record(prompt, 1)
    if record.error:
        raise LongreachError(record.error)
    return record


def _p99_ms(values_s: Sequence[float]) -> float:
    return 1000 * float(np.percentile(values_s, 99)) if len(values_s) else float("nan")


def _median_ms(values_s: Sequence[float]) -> float:
    return 1000 * float(np.median(values_s)) if len(values_s) else float("nan")
