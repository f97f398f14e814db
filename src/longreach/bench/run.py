"""Run the plan: engines side by side in one run, one table, one JSON file.

Each round asks every engine once, in turn, so that a drift of the machine's speed hits all of them;
a figure is the median over rounds, and a ratio is taken pair by pair inside the rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from longreach.bench.plan import DECODE_CONTEXTS, PREFILL_LENGTHS, EngineSpec, cases, installed
from longreach.bench.shapes import SHAPES, with_layers, write_random_checkpoint
from longreach.bench.worker import Worker, WorkerError

Report = Callable[[str], None]


@dataclass(kw_only=True)
class Row:
    """One engine at one length. Rates in tokens/s (median), memory in bytes."""

    op: str
    tokens: int
    engine: str
    tokens_per_s: float
    samples: list[float]
    peak_bytes: int
    ceiling_share: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def run_benchmarks(
    *,
    scripts: Path,
    work: Path,
    shape: str = "qwen2.5-0.5b",
    layers: int | None = None,
    prefill: tuple[int, ...] = PREFILL_LENGTHS,
    decode: tuple[int, ...] = DECODE_CONTEXTS,
    engines: tuple[str, ...] = (),
    rounds: int = 3,
    report: Report = print,
) -> dict[str, Any]:
    """Measure and return {machine, shape, versions, failures, rows}. `engines` empty: all.

    layers: only so many of the shape's; they are alike, so ratios need no more.
    """
    work.mkdir(parents=True, exist_ok=True)
    sizes = with_layers(SHAPES[shape], layers)
    model = write_random_checkpoint(sizes, work / sizes.name)
    specs = tuple(s for s in installed() if not engines or s.name in engines)
    result: dict[str, Any] = {"shape": asdict(sizes), "failures": {}, "versions": {}}
    result["machine"] = describe_machine()
    rows: list[Row] = []
    with Engines(scripts, model, work, result, report) as engines_under_test:
        for op, tokens, chosen in cases(specs, prefill, decode):
            count = rounds if tokens <= 8192 else max(1, rounds - 1) if tokens <= 32_768 else 1
            report(f"{op} {tokens} tokens: {', '.join(s.name for s in chosen)} ({count} rounds)")
            rows += engines_under_test.measure(op, tokens, chosen, count)
    result["rows"] = [asdict(row) for row in _with_ceiling(rows, sizes, result["machine"])]
    return result


class Engines:
    """The engines under test: each started when first needed, then kept for the whole run."""

    def __init__(
        self, scripts: Path, model: Path, work: Path, result: dict[str, Any], report: Report
    ) -> None:
        self._scripts, self._model, self._work = scripts, model, work
        self._result, self._report = result, report
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def measure(
        self, op: str, tokens: int, chosen: tuple[EngineSpec, ...], rounds: int
    ) -> list[Row]:
        """Ask every chosen engine in turn, `rounds` times; one that fails is left out."""
        samples: dict[str, list[dict[str, Any]]] = {}
        names = [spec.name for spec in chosen if self._is_running(spec)]
        for index in range(rounds):
            seed = question_seed(op, tokens, index)
            for name in list(names):
                try:
                    reply = self._workers[name].ask(op=op, tokens=tokens, seed=seed)
                except WorkerError as error:
                    self._fail(f"{name} {op} {tokens}", error)
                    names.remove(name)
                else:
                    samples.setdefault(name, []).append(reply)
                    self._report(f"  {name}: {reply['tokens_per_s']:.1f} tokens/s")
        return [_row(op, tokens, name, replies) for name, replies in samples.items()]

    def _is_running(self, spec: EngineSpec) -> bool:
        """Start and warm the engine (256 tokens) unless that is done, or has failed."""
        if spec.name in self._workers or spec.name in self._result["failures"]:
            return spec.name in self._workers
        argv = spec.argv(self._scripts, self._model, os.environ)
        if argv is None:
            return False
        worker = Worker(spec.name, argv, self._work / f"{spec.name.replace(' ', '-')}.log")
        try:
            self._result["versions"][spec.name] = worker.ask(op="hello")["version"]
            worker.ask(op="prefill", tokens=256, seed=999)
            if spec.max_decode:
                worker.ask(op="decode", tokens=256, seed=998)
        except WorkerError as error:
            self._fail(spec.name, error)
            worker.close()
            return False
        self._workers[spec.name] = worker
        return True

    def _fail(self, what: str, error: WorkerError) -> None:
        self._result["failures"][what] = str(error)
        self._report(f"  {error}")


def question_seed(op: str, tokens: int, round_index: int) -> int:
    """Of the token ids of one question: no prompt begins as another, so no cache knows any."""
    return zlib.crc32(f"{op} {tokens} {round_index}".encode())


def _row(op: str, tokens: int, name: str, replies: list[dict[str, Any]]) -> Row:
    rates = [reply["tokens_per_s"] for reply in replies]
    known = {"seconds", "tokens_per_s", "peak_bytes"}
    return Row(
        op=op,
        tokens=tokens,
        engine=name,
        tokens_per_s=statistics.median(rates),
        samples=rates,
        peak_bytes=max(reply["peak_bytes"] for reply in replies),
        extra={key: value for key, value in replies[-1].items() if key not in known},
    )


def _with_ceiling(rows: list[Row], shape: Any, machine: dict[str, Any]) -> list[Row]:
    """Prefill rows learn their share of the GEMM ceiling (dense operations at the peak rate)."""
    for row in rows:
        if row.op == "prefill":
            needed = dense_prefill_flops(shape, row.tokens)
            row.ceiling_share = needed / row.tokens * row.tokens_per_s / machine["gemm_flops"]
    return rows


def dense_prefill_flops(shape: Any, tokens: int) -> float:
    """Multiply-adds x 2 of a dense prefill: linear layers plus the causal half of attention.

    A sparse run does fewer, so its share of the ceiling counts the work it spared and may exceed 1.
    """
    head_dim = shape.hidden_size // shape.num_heads
    qkv = shape.hidden_size * (shape.num_heads + 2 * shape.num_kv_heads) * head_dim
    per_layer = qkv + shape.hidden_size**2 + 3 * shape.hidden_size * shape.intermediate_size
    attention = 4.0 * shape.num_heads * head_dim * tokens * (tokens + 1) / 2
    return float(shape.num_layers) * (2.0 * per_layer * tokens + attention)


def describe_machine() -> dict[str, Any]:
    """CPU, cores, torch, commit, and the GEMM rate measured now (the ceiling)."""
    import platform

    import torch

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - whichever git the user has
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cpu": _cpu_name() or platform.processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "commit": commit.stdout.strip(),
        "gemm_flops": gemm_ceiling(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = dict(line.split(":", 1) for line in lines[:30] if ":" in line)
    clean = {key.strip(): value.strip() for key, value in fields.items()}
    parts = ("model name", "cpu family", "model")
    return ", ".join(f"{part} {clean[part]}" for part in parts if part in clean)


def gemm_ceiling(size: int = 2048, seconds: float = 1.0) -> float:
    """The best GEMM rate seen at `size` cubed, in floating-point operations a second.

    In the dtype that models run in here: without bf16 instructions a bf16 product says nothing.
    """
    import torch

    from longreach.platform import default_dtype

    a, b = (torch.randn(size, size, dtype=default_dtype()) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def save(result: dict[str, Any], path: Path) -> None:
    """Write the JSON file that `longreach bench` and the documents are made from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
