"""`longreach generate`."""

from __future__ import annotations

from typing import Annotated

import typer

from longreach.cli.options import (
    Debug,
    DtypeOption,
    Model,
    Quantization,
    Sparse,
    SparseRecall,
    TextFile,
)
from longreach.cli.terminal import print_json, show_rate, show_seconds, stderr_console


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="A question or an instruction.")],
    file: TextFile = None,
    model: Model = "needle",
    system: Annotated[str | None, typer.Option("--system", help="A system message.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the text as it is, without the chat template.")
    ] = False,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1)] = 256,
    temperature: Annotated[float, typer.Option("--temperature", help="0: greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p")] = 1.0,
    seed: Annotated[int | None, typer.Option("--seed", min=0)] = None,
    sparse: Sparse = "adaptive",
    sparse_recall: SparseRecall = 0.95,
    dtype: DtypeOption = "auto",
    quantization: Quantization = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    debug: Debug = False,
) -> None:
    """Answer a prompt, about a text if you give one. The answer goes to stdout as it comes.

    [bold]Examples[/bold]

      longreach generate "What is the pass key?" --file notes.txt

      longreach generate "Write a haiku." --model Qwen/Qwen2.5-7B-Instruct-1M --temperature 0.7

      longreach generate "Once upon a time" --raw --max-tokens 50
    """
    from longreach import SamplingParams
    from longreach.cli.engine import load_llm

    params = SamplingParams(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    llm = load_llm(
        model, sparse=sparse, sparse_recall=sparse_recall, dtype=dtype, quantization=quantization
    )
    text = file.read_text(errors="replace") if file else None
    whole = f"{text}\n\n{prompt}" if text else prompt
    request = whole if raw else _messages(system, whole)
    _stream(llm, request, params, as_json=json)


def _messages(system: str | None, content: str) -> list[dict[str, str]]:
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": content}]


def _stream(llm, request, params, *, as_json: bool) -> None:  # noqa: ANN001
    """Print pieces as they come, then one line of figures to stderr."""
    raise NotImplementedError
