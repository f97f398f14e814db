"""What `longreach bench serve` runs: a load, a mixed load, or the server beside its engine."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from longreach.bench.serve.client import RequestRecord, StreamClient
from longreach.bench.serve.load import run_load
from longreach.bench.serve.mixed import run_mixed
from longreach.bench.serve.overhead import Streams, measure_overhead
from longreach.bench.serve.prompts import measure_lengths, random_text
from longreach.bench.serve.summary import details, summarise
from longreach.cli.terminal import stderr_console
from longreach.errors import LongreachError

if TYPE_CHECKING:
    from longreach.engine.protocol import AsyncTextEngine

ALONE_S = 10.0
"""How long the chats of a mixed load are watched alone."""
ROUNDS = 9
"""Of --overhead, after a first one that warms up."""
_INFINITE = float("inf")


@dataclass(frozen=True, kw_only=True)
class ServerUnderTest:
    """How it is reached and asked. model: None asks the server. backend: vLLM's word."""

    base_url: str
    model: str | None
    api_key: str | None
    backend: str
    ignore_eos: bool

    async def connect(self, *, ignore_eos: bool = False) -> StreamClient:
        """A client. Raises LongreachError where no server answers."""
        client = StreamClient(
            self.base_url,
            self.model or "",
            api_key=self.api_key,
            endpoint="chat" if self.backend == "openai-chat" else "completions",
            ignore_eos=self.ignore_eos or ignore_eos,
        )
        if self.model is None:
            names = await client.models()
            if not names:
                raise LongreachError(f"{self.base_url} lists no model: name one with --model")
            client.model = names[0]
        return client


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests of one shape. request_rate: mean arrivals a second, inf for all at once."""

    num_prompts: int
    input_len: int
    output_len: int
    request_rate: float
    max_concurrency: int | None
    seed: int


def load(
    server: ServerUnderTest, wanted: Load, metrics: Sequence[str], percentiles: Sequence[float]
) -> dict[str, Any]:
    """The figures of a load, with vLLM's names."""

    async def run() -> dict[str, Any]:
        rng = random.Random(wanted.seed)
        async with await server.connect() as client:
            num_words = (await measure_lengths(client, rng)).num_words(wanted.input_len)
            prompts = [random_text(rng, num_words) for _ in range(wanted.num_prompts)]

            def ask(prompt: str) -> Any:
                return client.record(prompt, wanted.output_len)

            with _bar(len(prompts)) as step:
                done = await run_load(
                    ask,
                    prompts,
                    request_rate=wanted.request_rate,
                    max_concurrency=wanted.max_concurrency,
                    rng=rng,
                    on_done=step,
                )
        _require_one(done.records)
        rate = wanted.request_rate
        return {
            **_head(client.model),
            "backend": server.backend,
            "num_prompts": wanted.num_prompts,
            "request_rate": "inf" if rate == _INFINITE else rate,
            "max_concurrency": wanted.max_concurrency,
            **summarise(done.records, done.duration_s, metrics=metrics, percentiles=percentiles),
            **details(done.records),
        }

    return asyncio.run(run())


def _require_one(records: Sequence[RequestRecord]) -> None:
    """Raises LongreachError where no request went well: there is nothing to report."""
    errors = [record.error for record in records if record.error]
    if len(errors) == len(records):
        raise LongreachError(f"all {len(records)} requests failed, the first with: {errors[0]}")


def mixed(
    server: ServerUnderTest, prefill_tokens: int, num_chats: int, seed: int
) -> dict[str, Any]:
    """The figures of chats beside a long prompt."""

    async def run() -> dict[str, Any]:
        rng = random.Random(seed)
        async with await server.connect(ignore_eos=True) as client:
            result = await run_mixed(
                client,
                await measure_lengths(client, rng),
                prefill_tokens=prefill_tokens,
                num_chats=num_chats,
                alone_s=ALONE_S,
                rng=rng,
                report=_say,
            )
        return {**_head(client.model), **result.as_data()}

    return asyncio.run(run())


def overhead(model: str, num_streams: int, num_tokens: int, seed: int) -> dict[str, Any]:
    """The figures of a server beside its own engine, which is loaded here."""
    engine = load_engine(model, num_streams)
    streams = Streams(num_streams=num_streams, num_tokens=max(num_tokens, 2), seed=seed)
    try:
        with serving(engine, model) as url:
            result = measure_overhead(engine, url, model, streams, rounds=ROUNDS, report=_say)
    finally:
        engine.close()
    shape = {"num_streams": num_streams, "num_tokens": streams.num_tokens}
    return {**_head(model), **shape, **result.as_data()}


def load_engine(model: str, max_num_seqs: int) -> AsyncTextEngine:
    """The engine that a server would have."""
    from longreach.cli.engine import load_llm
    from longreach.engine.async_engine import AsyncEngine

    return AsyncEngine.from_llm(load_llm(model, max_num_seqs=max_num_seqs))


@contextmanager
def serving(engine: AsyncTextEngine, model: str) -> Iterator[str]:
    """A server over an engine that is loaded already, on a free port; its address."""
    import uvicorn

    from longreach.serve.app import create_app
    from longreach.serve.run import make_config
    from longreach.serve.settings import ServerSettings
    from longreach.serve.sockets import bind, unbind, url_of

    settings = ServerSettings(served_model_names=(model,), port=0, uvicorn_log_level="warning")
    socket = bind(settings)
    server = uvicorn.Server(make_config(create_app(engine, settings), settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield url_of(settings, socket)
    finally:
        server.should_exit = True
        thread.join()
        unbind(settings, socket)


def save(result: dict[str, Any], folder: Path, name: str | None) -> Path:
    """Write the figures; the name is vLLM's unless one is given."""
    concurrency = result.get("max_concurrency")
    parts = [
        result.get("backend", "longreach"),
        f"{result.get('request_rate', 'inf')}qps",
        *([f"concurrency{concurrency}"] if concurrency else []),
        Path(result["model_id"]).name,
        result["date"],
    ]
    path = folder / (name or "-".join(parts) + ".json")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _say(f"written to {path}")
    return path


def _head(model: str) -> dict[str, Any]:
    return {"date": datetime.now().astimezone().strftime("%Y%m%d-%H%M%S"), "model_id": model}


def _say(line: str) -> None:
    stderr_console().print(line, markup=False, soft_wrap=True)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere; call it for each request that is done."""
    console = stderr_console()
    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=total)
    with bar:
        yield lambda: bar.advance(task)
