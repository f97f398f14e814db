"""Which engine is measured at which length: the plan of one benchmark run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from longreach.bench.worker import python_of

PREFILL_LENGTHS = (1024, 4096, 8192, 32_768, 131_072)
DECODE_CONTEXTS = (512, 8192, 32_768)


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """One engine under test.

    script, arguments: what its interpreter runs (the model directory goes between them).
    python: environment variable that names the interpreter; None runs in ours.
    max_prefill, max_decode: the longest prompt and context that are worth its time.
    """

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    python: str | None = None
    min_prefill: int = 0
    max_prefill: int = 8192
    max_decode: int = 8192
    is_ours: bool = False

    def argv(self, scripts: Path, model: Path, environ: Mapping[str, str]) -> list[str] | None:
        """The command line, or None when the engine's interpreter is not set."""
        interpreter = python_of(self.python, dict(environ)) if self.python else sys.executable
        if interpreter is None:
            return None
        return [interpreter, str(scripts / self.script), str(model), *self.arguments]


ENGINES = (
    EngineSpec(
        name="longreach",
        script="ours.py",
        arguments=("dense",),
        max_prefill=32_768,
        max_decode=32_768,
        is_ours=True,
    ),
    EngineSpec(
        name="longreach sparse",
        script="ours.py",
        arguments=("sparse",),
        min_prefill=32_768,
        max_prefill=131_072,
        max_decode=0,
        is_ours=True,
    ),
    EngineSpec(
        name="longreach int8",
        script="ours.py",
        arguments=("int8",),
        max_prefill=0,
        max_decode=32_768,
        is_ours=True,
    ),
    EngineSpec(name="transformers", script="with_transformers.py", max_prefill=32_768),
    EngineSpec(
        name="vllm-cpu",
        script="with_vllm.py",
        python="LONGREACH_BENCH_VLLM",
        max_prefill=32_768,
        max_decode=32_768,
    ),
    EngineSpec(
        name="openvino-genai",
        script="with_openvino.py",
        python="LONGREACH_BENCH_OPENVINO",
        max_prefill=32_768,
        max_decode=32_768,
    ),
    EngineSpec(
        name="llama.cpp bf16",
        script="with_llamacpp.py",
        arguments=("bf16",),
        python="LONGREACH_BENCH_LLAMACPP",
        max_decode=32_768,
    ),
    EngineSpec(
        name="llama.cpp q8_0",
        script="with_llamacpp.py",
        arguments=("q8_0",),
        python="LONGREACH_BENCH_LLAMACPP",
        max_prefill=0,
        max_decode=32_768,
    ),
)


def installed(environ: Mapping[str, str] = os.environ) -> tuple[EngineSpec, ...]:
    """The engines whose interpreter is known here."""
    return tuple(spec for spec in ENGINES if spec.python is None or spec.python in environ)


def cases(
    specs: tuple[EngineSpec, ...], prefill: tuple[int, ...], decode: tuple[int, ...]
) -> list[tuple[str, int, tuple[EngineSpec, ...]]]:
    """(op, tokens, engines measured in turn), shortest first."""
    found = [
        ("prefill", tokens, tuple(s for s in specs if s.min_prefill <= tokens <= s.max_prefill))
        for tokens in prefill
    ]
    found += [
        ("decode", tokens, tuple(s for s in specs if tokens <= s.max_decode)) for tokens in decode
    ]
    return [case for case in found if case[2]]
