"""`longreach generate`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longreach.cli.options import (
    Debug,
    DtypeOption,
    Json,
    MaxTokens,
    Model,
    Quantization,
    SamplingSeed,
    Sparse,
    SparseRecall,
    Temperature,
    TextFile,
    text_of,
)
from longreach.cli.terminal import print_json, show_rate, show_seconds, stderr_console

if TYPE_CHECKING:
    from longreach.engine.outputs import RequestOutput
    from longreach.engine.protocol import PromptRequest, TextEngine


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="A question or an instruction.")],
    file: TextFile = None,
    model: Model = "needle",
    system: Annotated[str | None, typer.Option("--system", help="A system message.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the text as it is, without the chat template.")
    ] = False,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    top_p: Annotated[
        float, typer.Option("--top-p", help="Draw from the likeliest tokens of this mass.")
    ] = 1.0,
    seed: SamplingSeed = None,
    sparse: Sparse = "adaptive",
    sparse_recall: SparseRecall = 0.95,
    dtype: DtypeOption = "auto",
    quantization: Quantization = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Answer a prompt, about a text if you give one. The answer goes to stdout as it comes.

    [bold]Examples[/bold]

      longreach generate "What is the pass key?" --file notes.txt

      longreach generate "Write a haiku." --model ./qwen --temperature 0.7

      longreach generate "Once upon a time" --raw --max-tokens 50
    """
    from longreach.cli.engine import load_llm, messages_of
    from longreach.engine.protocol import PromptRequest
    from longreach.engine.sampling_params import SamplingParams

    params = SamplingParams(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    whole = f"{text_of(file)}\n\n{prompt}" if file else prompt
    llm = load_llm(
        model, sparse=sparse, sparse_recall=sparse_recall, dtype=dtype, quantization=quantization
    )
    if raw:
        request = PromptRequest(prompt=whole, params=params)
    else:
        token_ids = llm.encode_chat(messages_of(system, whole))
        request = PromptRequest(prompt_token_ids=token_ids, params=params)
    answer(llm, request, as_json=json)


def answer(engine: TextEngine, request: PromptRequest, *, as_json: bool) -> None:
    """Print pieces as they come, then one line of figures to stderr; or one JSON document."""
    from longreach.cli.reading import ReadingBar

    status = stderr_console()
    pieces: list[str] = []
    last: RequestOutput | None = None
    bar = ReadingBar(status, "reading").start()
    try:
        for last in engine.generate_requests(
            [request], progress=bar if status.is_terminal else None
        ):
            bar.stop()
            pieces.append(last.outputs[0].text)
            if not as_json:
                sys.stdout.write(pieces[-1])
                sys.stdout.flush()
    finally:
        bar.stop()
    if last is None or last.error is not None:
        raise (last.error if last is not None and last.error else RuntimeError("no answer"))
    if as_json:
        print_json(as_data("".join(pieces), last))
    else:
        sys.stdout.write("\n")
        status.print(figures(last), style="dim", soft_wrap=True)
        if last.outputs[0].finish_reason == "length":
            status.print(cut_line(last.metrics.num_generated_tokens), soft_wrap=True)


def as_data(text: str, output: RequestOutput) -> dict[str, Any]:
    """The answer and what it took, as plain data."""
    return {
        "text": text,
        "finish_reason": output.outputs[0].finish_reason,
        "prompt_tokens": len(output.prompt_token_ids),
        "metrics": asdict(output.metrics),
    }


def cut_line(num_tokens: int) -> str:
    """Why the answer ends where it ends."""
    return (
        f"the answer was cut after {num_tokens:,} tokens: --max-tokens, or the context, is used up"
    )


def figures(output: RequestOutput) -> str:
    """One line: how much was read, how fast, how much of the attention was kept."""
    metrics = output.metrics
    parts = [
        f"{len(output.prompt_token_ids):,} tokens read",
        f"first token after {show_seconds(metrics.ttft_s)}",
        f"decode {show_rate(metrics.decode_tokens_per_s)}",
    ]
    if metrics.density < 1.0:
        parts.append(f"attention recall {metrics.recall_mean:.3f}, density {metrics.density:.2%}")
    return " · ".join(parts)
