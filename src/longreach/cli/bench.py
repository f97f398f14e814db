"""`longreach bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longreach.cli.bench_serve import bench_serve
from longreach.cli.help import App
from longreach.cli.options import Debug
from longreach.cli.outputs import output_file
from longreach.cli.terminal import print_json, stderr_console, stdout_console
from longreach.errors import InvalidRequestError, UnsupportedError

PEERS = Path("benchmarks", "peers")

app = App()


@app.callback(invoke_without_command=True)
def bench(
    ctx: typer.Context,
    prefill: Annotated[
        str | None, typer.Option("--prefill", help="Prompt lengths: 1K,4K,8K,32K,128K; none: 0.")
    ] = None,
    decode: Annotated[
        str | None, typer.Option("--decode", help="Context lengths: 512,8K,32K; none: 0.")
    ] = None,
    engines: Annotated[
        str | None, typer.Option("--engines", help="Names, separated by commas, else all.")
    ] = None,
    shape: Annotated[str, typer.Option("--shape", help="qwen2.5-0.5b or qwen2.5-7b.")] = (
        "qwen2.5-0.5b"
    ),
    layers: Annotated[
        int | None,
        typer.Option("--layers", min=1, help="Fewer layers than the shape has: ratios, sooner."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Times each is measured.")] = 3,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            callback=output_file,
            help="The JSON file, else in benchmarks/results/local.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the JSON document too.")] = False,
    debug: Debug = False,
) -> None:
    """Measure prefill and decode beside other engines, in one run, on random weights.

    Peers have environments of their own (benchmarks/README.md). This needs a checkout.

    [bold]Examples[/bold]

      longreach bench --prefill 1K,4K --decode 512 --engines longreach,transformers

      longreach bench
    """
    if ctx.invoked_subcommand is not None:
        return
    from longreach.bench.plan import DECODE_CONTEXTS, PREFILL_LENGTHS
    from longreach.bench.run import run_benchmarks, save
    from longreach.bench.shapes import SHAPES
    from longreach.bench.table import HEADER, rows_of

    if shape not in SHAPES:
        raise InvalidRequestError("shape", shape, f"one of {', '.join(SHAPES)}")
    scripts = find_peers()
    results = scripts.parent / "results" / "local"
    out, status = stdout_console(), stderr_console()
    result = run_benchmarks(
        scripts=scripts,
        work=results,
        shape=shape,
        layers=layers,
        prefill=_lengths(prefill, "prefill", PREFILL_LENGTHS),
        decode=_lengths(decode, "decode", DECODE_CONTEXTS),
        engines=_engines(engines),
        rounds=rounds,
        report=lambda line: status.print(line, markup=False, soft_wrap=True),
    )
    path = output or results / "bench.json"
    save(result, path)
    out.print(_table(HEADER, rows_of(result)))
    status.print(f"written to {path}", soft_wrap=True)
    if json:
        print_json(result)


app.command("serve")(bench_serve)


def find_peers() -> Path:
    """benchmarks/peers of the checkout we are in, or that longreach was installed from."""
    for root in (Path.cwd(), *Path(__file__).parents):
        if (root / PEERS).is_dir():
            return root / PEERS
    raise UnsupportedError(f"there is no {PEERS} here: run this in a checkout of longreach")


def _engines(text: str | None) -> tuple[str, ...]:
    from longreach.bench.plan import ENGINES

    known = [spec.name for spec in ENGINES]
    names = tuple(part.strip() for part in text.split(",")) if text else ()
    for name in names:
        if name not in known:
            raise InvalidRequestError("engines", name, f"some of {', '.join(known)}")
    return names


def _lengths(text: str | None, field: str, usual: tuple[int, ...]) -> tuple[int, ...]:
    from longreach.evals.lengths import parse_lengths

    if text is None:
        return usual
    return () if text.strip() == "0" else parse_lengths(text, field)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> object:
    from rich.table import Table

    table = Table(*header, box=None, padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    return table
