"""The flags of `longreach serve` as tables of Markdown: `python -m longreach.cli.flag_table FILE`.

Rewrites what stands between the two markers of a file.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from longreach.cli.flags import Flag
from longreach.cli.serve_flags import SERVE_FLAGS

BEGIN, END = "<!-- flags: begin -->", "<!-- flags: end -->"
_HEAD = "| flag | default | |\n| --- | --- | --- |"


def flag_tables() -> str:
    """A table for each panel of the help."""
    panels = groupby(SERVE_FLAGS, key=lambda flag: flag.panel)
    return "\n\n".join(
        "\n".join([f"### {panel}\n\n{_HEAD}", *map(_row, flags)]) for panel, flags in panels
    )


def _row(flag: Flag) -> str:
    names = ", ".join(f"`{name}`" for name in flag.names)
    several = ", several times" if flag.many else ""
    variable = f" Variable: `{flag.envvar}`." if flag.envvar else ""
    return f"| {names}{several} | {_default(flag)} | {flag.help}{variable} |"


def _default(flag: Flag) -> str:
    if flag.is_no_op or flag.default in (None, "", False):
        return ""
    if flag.default is True:
        return "on"
    number = isinstance(flag.default, float) and flag.default.is_integer()
    return f"`{int(flag.default) if number else flag.default}`"


def rewrite(text: str) -> str:
    """A page with its tables as they have to be. Raises ValueError without both markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} followed by {END}")
    return f"{before}{BEGIN}\n\n{flag_tables()}\n\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(rewrite(page.read_text(encoding="utf-8")), encoding="utf-8")
