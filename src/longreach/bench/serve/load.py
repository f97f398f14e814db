"""Many requests at a given rate, no more than so many at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from longreach.bench.serve.client import RequestRecord

Ask = Callable[[str], Awaitable[RequestRecord]]


@dataclass(frozen=True)
class LoadResult:
    """Records in the order of the prompts, and the seconds that all took together."""

    records: list[RequestRecord]
    duration_s: float


async def run_load(
    ask: Ask,
    prompts: Sequence[str],
    *,
    request_rate: float,
    max_concurrency: int | None,
    rng: random.Random,
    on_done: Callable[[], object],
) -> LoadResult:
    """Send the prompts. request_rate: mean arrivals a second (Poisson), inf sends all at once.

    max_concurrency: an arrival that finds so many running waits, and its clock with it.
    """
    room = asyncio.Semaphore(max_concurrency or len(prompts))

    async def one(prompt: str) -> RequestRecord:
        async with room:
            record = await ask(prompt)
        on_done()
        return record

    began_s = time.perf_counter()
    tasks = []
    for prompt, gap_s in zip(prompts, arrival_gaps(request_rate, rng), strict=False):
        if gap_s:
            await asyncio.sleep(gap_s)
        tasks.append(asyncio.create_task(one(prompt)))
    records = await asyncio.gather(*tasks)
    return LoadResult(records, time.perf_counter() - began_s)


def arrival_gaps(request_rate: float, rng: random.Random) -> Iterator[float]:
    """Seconds before each arrival; none before the first."""
    yield 0.0
    while True:
        yield rng.expovariate(request_rate) if request_rate < float("inf") else 0.0
