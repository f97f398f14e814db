"""What the server costs: time per token of streams through it beside those of the bare engine.

Both use one engine in one run and take turns, so that a drift of the machine's speed hits both.
The client of the server runs in a process of its own, as it does in life.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from longreach.bench.serve.client import RequestRecord, StreamClient
from longreach.bench.serve.prompts import random_text
from longreach.engine.outputs import RequestOutput
from longreach.engine.protocol import AsyncTextEngine, PromptRequest
from longreach.engine.sampling_params import SamplingParams
from longreach.errors import LongreachError

PROMPT_WORDS = 32

Report = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Streams:
    """So many answers at the same time, of so many tokens each. seed: draws their prompts."""

    num_streams: int
    num_tokens: int
    seed: int = 0

    def prompts(self) -> list[str]:
        """One per stream, all different."""
        rng = random.Random(self.seed)
        return [random_text(rng, PROMPT_WORDS) for _ in range(self.num_streams)]


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Seconds per token and stream of each round, taken in turn."""

    engine_s: list[float]
    server_s: list[float]

    @property
    def share(self) -> float:
        """What the server adds: median over the rounds of server / engine, less 1."""
        pairs = zip(self.server_s, self.engine_s, strict=True)
        return statistics.median(server / engine for server, engine in pairs) - 1.0

    def as_data(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            "engine_ms_per_token": 1000 * statistics.median(self.engine_s),
            "server_ms_per_token": 1000 * statistics.median(self.server_s),
            "overhead": self.share,
            "rounds": [
                {"engine_ms": 1000 * engine, "server_ms": 1000 * server}
                for engine, server in zip(self.engine_s, self.server_s, strict=True)
            ],
        }


def measure_overhead(
    engine: AsyncTextEngine,
    base_url: str,
    model: str,
    streams: Streams,
    *,
    rounds: int,
    report: Report,
) -> Overhead:
    """Measure an engine and the server over it. Raises LongreachError when a stream fails."""
    spawn = multiprocessing.get_context("spawn")
    engine_s, server_s = [], []
    with ProcessPoolExecutor(1, mp_context=spawn) as other:

        def measure_engine() -> None:
            engine_s.append(asyncio.run(time_engine(engine, streams)))

        def measure_server() -> None:
            server_s.append(other.submit(time_server, base_url, model, streams).result())

        for number in range(rounds + 1):
            # Whoever comes first alternates: a machine that slows down favours neither.
            turns = (measure_engine, measure_server)
            for measure in turns if number % 2 else reversed(turns):
                measure()
            told = f"{1000 * engine_s[-1]:.2f} ms bare, {1000 * server_s[-1]:.2f} ms served"
            report(f"round {number} of {rounds}: {told}" if number else f"warm-up: {told}")
    return Overhead(engine_s=engine_s[1:], server_s=server_s[1:])


def time_server(base_url: str, model: str, streams: Streams) -> float:
    """Seconds per token of streams through a server."""

    async def run() -> list[RequestRecord]:
        async with StreamClient(base_url, model, ignore_eos=True, endpoint="completions") as client:
            asked = [client.record(prompt, streams.num_tokens) for prompt in streams.prompts()]
            return await asyncio.gather(*asked)

    records = asyncio.run(run())
    for record in records:
        if record.error:
            raise LongreachError(record.error)
    return statistics.mean(record.tpot_s or 0.0 for record in records)


async def time_engine(engine: AsyncTextEngine, streams: Streams) -> float:
    """Seconds per token of the same streams without a server."""
    params = SamplingParams(max_tokens=streams.num_tokens, temperature=0.0, ignore_eos=True)

    async def one(prompt: str) -> float:
        submission = await engine.submit(PromptRequest(prompt=prompt, params=params))
        times_s, num_tokens = [], 0
        async for item in submission:
            if not isinstance(item, RequestOutput):
                continue
            if item.error is not None:
                raise item.error
            new = sum(len(output.token_ids) for output in item.outputs)
            if new:
                times_s.append(time.perf_counter())
                num_tokens += new
        return (times_s[-1] - times_s[0]) / (num_tokens - 1)

    return statistics.mean(await asyncio.gather(*(one(prompt) for prompt in streams.prompts())))
