"""`longreach show MODEL`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from longreach.cli.options import Debug, Json, ModelArgument
from longreach.cli.terminal import print_json, show_bytes, stdout_console

if TYPE_CHECKING:
    from longreach.config import ModelConfig


def show(model: ModelArgument = "needle", json: Json = False, debug: Debug = False) -> None:
    """Show what a model is, what its attention does to long texts, and what a token costs.

    Only config.json is read; no weight is loaded.

    [bold]Examples[/bold]

      longreach show needle

      longreach show Qwen/Qwen2.5-7B-Instruct-1M --json
    """
    from longreach.models.registry import resolve_model

    folder = resolve_model(model)  # before the import of torch: a wrong name is told at once
    from longreach.models.loader import load_config

    facts = describe(load_config(folder), folder)
    if json:
        print_json(facts)
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2), title=model, title_justify="left")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), written(name, value))
    stdout_console().print(table)


def describe(config: ModelConfig, folder: Path) -> dict[str, Any]:
    """The facts, as plain data."""
    from longreach.models.sizes import num_parameters

    chunks = config.dual_chunk
    return {
        "directory": str(folder),
        "architecture": config.architecture,
        "parameters": num_parameters(config),
        "layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "query_heads": config.num_heads,
        "kv_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "vocabulary": config.vocab_size,
        "context": config.max_position_embeddings,
        "rope": {"type": config.rope.type, "theta": config.rope.theta},
        "dual_chunk_attention": None
        if chunks is None
        else {
            "chunk_size": chunks.chunk_size,
            "local_size": chunks.local_size,
            "chunk_len": chunks.chunk_len,
            "trained_length": chunks.original_max_position_embeddings,
        },
        "sparse_table": config.sparse_table is not None,
        "kv_bytes_per_token_bf16": 2 * config.kv_values_per_token,
    }


def written(name: str, value: Any) -> str:
    """One fact for people."""
    match value:
        case None | False:
            return "none"
        case True:
            return "yes"
        case dict():
            return ", ".join(
                f"{key.replace('_', ' ')} {written('', v)}" for key, v in value.items()
            )
        case int() if name.startswith("kv_bytes"):
            return show_bytes(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:g}"
    return str(value)
