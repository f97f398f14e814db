"""`longreach estimate MODEL --tokens N`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longreach.cli.options import Debug, DtypeOption, Json, ModelArgument, Quantization, Sparse
from longreach.cli.terminal import (
    print_json,
    show_bytes,
    show_rate,
    show_seconds,
    stdout_console,
    waiting,
)

if TYPE_CHECKING:
    from rich.table import Table

    from longreach.engine.estimate import Estimate


def estimate(
    model: ModelArgument = "needle",
    tokens: Annotated[
        str, typer.Option("--tokens", "-n", help="Length of the prompt: 128K, 1M, ...")
    ] = "128K",
    dtype: DtypeOption = "auto",
    quantization: Quantization = None,
    sparse: Sparse = "adaptive",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what reading so many tokens would take here: memory by part, and time.

    Time is predicted from a short calibration. No weight is loaded.

    [bold]Examples[/bold]

      longreach estimate needle --tokens 1M

      longreach estimate Qwen/Qwen2.5-7B-Instruct-1M --tokens 256K
    """
    from longreach.config import EngineConfig, SparsePolicy
    from longreach.engine.estimate import estimate_model
    from longreach.engine.llm import choose_device
    from longreach.evals.lengths import parse_length

    config = EngineConfig(
        dtype=dtype,  # type: ignore[arg-type]  # checked by EngineConfig, as the next two
        quantization=quantization,  # type: ignore[arg-type]
        sparse=SparsePolicy(mode=sparse),  # type: ignore[arg-type]
    )
    with waiting("measuring this machine"):
        found = estimate_model(model, parse_length(tokens), config, device=choose_device("auto"))
    if json:
        print_json(as_data(found))
        return
    out = stdout_console()
    out.print(f"{model}, a prompt of {found.num_tokens:,} tokens", style="bold", markup=False)
    out.print(memory_table(found))
    out.print(time_table(found))


def as_data(found: Estimate) -> dict[str, Any]:
    """The estimate as plain data."""
    return {
        **asdict(found),
        "prefill_s": found.prefill.expected_s,
        "planned_bytes": found.plan.total,
        "fits": found.fits,
    }


def memory_table(found: Estimate) -> Table:
    """Every part of the plan, its sum, and what there is."""
    table = plain_table()
    for name, size in found.plan.parts.items():
        table.add_row(name.replace("_", " "), show_bytes(size))
    table.add_row("peak", show_bytes(found.plan.total), style="bold")
    mark = "[green]it fits[/green]" if found.fits_memory else "[red]it does not fit[/red]"
    table.add_row("available", f"{show_bytes(found.plan.available)}  {mark}")
    if not found.fits_model:
        table.add_row("longest context", f"{found.longest_context:,} tokens  [red]too long[/red]")
    return table


def time_table(found: Estimate) -> Table:
    """Reading and writing, and on which assumption."""
    table = plain_table()
    ends = dict.fromkeys(map(show_seconds, (found.prefill.least_s, found.prefill.most_s)))
    table.add_row("first token after", " to ".join(ends))
    if found.keys_per_row is not None:
        keys = " to ".join(f"{count:,}" for count in dict.fromkeys(found.keys_per_row))
        table.add_row("", f"[dim]if a row keeps {keys} keys: the text decides[/dim]")
        table.add_row("dense", show_seconds(found.dense_prefill_s))
    table.add_row("then", show_rate(found.decode_tokens_per_s))
    return table


def plain_table() -> Table:
    """Two columns without lines."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="left")
    return table
