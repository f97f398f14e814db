"""The needle heat map: document length across, needle depth down, mean score as colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longreach.errors import InvalidRequestError, UnsupportedError
from longreach.evals.report import Table, by_depth
from longreach.evals.runner import Answer


def require_format(path: Path, field: str = "path") -> None:
    """Raises InvalidRequestError for a suffix of no format, UnsupportedError: no matplotlib."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise UnsupportedError(
            "a heat map needs matplotlib: pip install 'longreach[plot]'"
        ) from error
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower().lstrip(".") not in formats:
        expected = f"a name that ends in one of {', '.join(f'.{name}' for name in formats)}"
        raise InvalidRequestError(field, str(path), expected)


def plot_heat_map(answers: Sequence[Answer], path: Path, *, title: str) -> None:
    """Write the picture, in the format of its suffix. Raises what `require_format` does."""
    require_format(path)
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    table = by_depth(answers)
    width = 2.2 + 0.95 * len(table.columns)
    figure, axes = plt.subplots(figsize=(width, 4.6), layout="constrained")
    image = axes.imshow(shares(table), vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
    axes.set_xticks(range(len(table.columns)), table.column_names)
    axes.set_yticks(range(len(table.rows)), table.row_names)
    axes.set_xlabel("document length (tokens)")
    axes.set_ylabel("depth of the needle")
    axes.set_title(title, fontsize=10)
    for y, row in enumerate(shares(table)):
        for x, share in enumerate(row):
            if share == share:  # noqa: PLR0124 - not NaN
                axes.text(x, y, f"{share:.2f}", ha="center", va="center", fontsize=8)
    figure.colorbar(image, ax=axes, label="score")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def shares(table: Table) -> list[list[float]]:
    """Mean scores row by row; NaN where nothing was asked."""
    cells, nan = table.cells, float("nan")
    return [
        [cells[row, column].share if (row, column) in cells else nan for column in table.columns]
        for row in table.rows
    ]
