"""`longreach bench serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longreach.cli.options import Debug, Json
from longreach.cli.outputs import require_writable
from longreach.cli.terminal import print_json, stdout_console
from longreach.errors import InvalidRequestError

if TYPE_CHECKING:
    from longreach.bench.serve.table import Rows

BACKENDS = ("openai-chat", "openai")
DEFAULT_MODEL = "needle"
METRICS = "ttft,tpot,itl,e2el"


def bench_serve(
    base_url: Annotated[
        str,
        typer.Option(
            "--base-url", help="Any server that speaks OpenAI's API, with or without /v1."
        ),
    ] = "http://127.0.0.1:8000",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Else the first that the server lists.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="OPENAI_API_KEY", help="Of the server.")
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="openai-chat, or openai for text completions.")
    ] = "openai-chat",
    dataset_name: Annotated[
        str, typer.Option("--dataset-name", help="random: words that no cache knows.")
    ] = "random",
    input_len: Annotated[
        int, typer.Option("--random-input-len", min=1, help="Tokens of a prompt.")
    ] = 1024,
    output_len: Annotated[
        int, typer.Option("--random-output-len", min=1, help="Tokens of an answer, at most.")
    ] = 128,
    num_prompts: Annotated[
        int, typer.Option("--num-prompts", min=1, help="Requests in all.")
    ] = 100,
    request_rate: Annotated[
        float, typer.Option("--request-rate", help="Mean arrivals a second; inf: all at once.")
    ] = float("inf"),
    max_concurrency: Annotated[
        int | None, typer.Option("--max-concurrency", min=1, help="Requests at the same time.")
    ] = None,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Answers of full length, where a server can.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws prompts and arrivals.")] = 0,
    percentile_metrics: Annotated[
        str, typer.Option("--percentile-metrics", help=f"Some of {METRICS}.")
    ] = METRICS,
    metric_percentiles: Annotated[
        str, typer.Option("--metric-percentiles", help="Numbers in [0, 100].")
    ] = "50,90,99",
    save_result: Annotated[
        bool, typer.Option("--save-result", help="Keep the figures as a JSON file.")
    ] = False,
    result_dir: Annotated[
        Path, typer.Option("--result-dir", help="Where --save-result keeps it.")
    ] = Path(),
    result_filename: Annotated[
        str | None, typer.Option("--result-filename", help="Else made of rate, model and date.")
    ] = None,
    mixed_prefill: Annotated[
        str | None,
        typer.Option("--mixed-prefill", help="Read so many tokens while chats decode: 128K."),
    ] = None,
    num_chats: Annotated[
        int, typer.Option("--num-chats", min=1, help="Chats of --mixed-prefill and --overhead.")
    ] = 8,
    overhead: Annotated[
        bool,
        typer.Option("--overhead", help="Load MODEL here: the server beside the bare engine."),
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a server: time to first token, between tokens, throughput.

    Flags and JSON fields are those of vLLM's command of this name.

    [bold]Examples[/bold]

      longreach bench serve --num-prompts 32 --random-input-len 4096 --request-rate 2

      longreach bench serve --mixed-prefill 128K

      longreach bench serve --overhead --model needle
    """
    from longreach.bench.serve.table import load_rows, mixed_rows, overhead_rows
    from longreach.cli import bench_runs as runs
    from longreach.evals.lengths import parse_length

    if dataset_name != "random":
        raise InvalidRequestError("dataset-name", dataset_name, "random")
    if backend not in BACKENDS:
        raise InvalidRequestError("backend", backend, f"one of {', '.join(BACKENDS)}")
    if not request_rate > 0:
        raise InvalidRequestError("request-rate", request_rate, "more than 0, or inf")
    if save_result:
        require_writable("result_dir", result_dir / (result_filename or "result.json"))
    metrics, percentiles = _metrics(percentile_metrics), _percentiles(metric_percentiles)
    server = runs.ServerUnderTest(
        base_url=base_url, model=model, api_key=api_key, backend=backend, ignore_eos=ignore_eos
    )
    if overhead:
        result = runs.overhead(model or DEFAULT_MODEL, num_chats, output_len, seed)
        rows = overhead_rows(result)
    elif mixed_prefill is not None:
        length = parse_length(mixed_prefill, "mixed-prefill")
        result = runs.mixed(server, length, num_chats, seed)
        rows = mixed_rows(result)
    else:
        load = runs.Load(
            num_prompts=num_prompts,
            input_len=input_len,
            output_len=output_len,
            request_rate=request_rate,
            max_concurrency=max_concurrency,
            seed=seed,
        )
        result = runs.load(server, load, metrics, percentiles)
        rows = load_rows(result, metrics, percentiles)
    if save_result:
        runs.save(result, result_dir, result_filename)
    if json:
        print_json(result)
    else:
        stdout_console().print(_table(rows))


def _metrics(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in METRICS.split(","):
            raise InvalidRequestError("percentile-metrics", name, f"some of {METRICS}")
    return names


def _percentiles(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = (-1.0,)
    if not all(0 <= number <= 100 for number in numbers):
        raise InvalidRequestError("metric-percentiles", text, "numbers in [0, 100]")
    return numbers


def _table(rows: Rows) -> object:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2), show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    return table
