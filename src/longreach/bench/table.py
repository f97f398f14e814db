"""The benchmark's result as a table for people and as Markdown for the documents."""

from __future__ import annotations

import statistics
from typing import Any

HEADER = ("what", "tokens", "engine", "tokens/s", "ours over it", "peak GiB", "of GEMM ceiling")


def rows_of(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """One tuple of strings per engine and length, in the order of HEADER."""
    return [
        (
            row["op"],
            f"{row['tokens']:,}",
            row["engine"],
            f"{row['tokens_per_s']:.1f}",
            _ratio(row, result["rows"]),
            f"{row['peak_bytes'] / 2**30:.2f}",
            "" if row["ceiling_share"] is None else f"{row['ceiling_share']:.0%}",
        )
        for row in result["rows"]
    ]


def markdown(result: dict[str, Any]) -> str:
    """The same rows as a Markdown table."""
    lines = [HEADER, tuple("---" for _ in HEADER), *rows_of(result)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _ratio(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Median over the rounds of ours / peer, per variant of ours measured in the same case."""
    if row["engine"].startswith("longreach"):
        return ""
    parts = []
    for ours in rows:
        same_case = (ours["op"], ours["tokens"]) == (row["op"], row["tokens"])
        if same_case and ours["engine"].startswith("longreach"):
            pairs = [a / b for a, b in zip(ours["samples"], row["samples"], strict=False)]
            label = ours["engine"].removeprefix("longreach").strip() or "dense"
            parts.append(f"{label} {statistics.median(pairs):.2f}x")
    return ", ".join(parts)
