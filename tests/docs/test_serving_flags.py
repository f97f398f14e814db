"""The tables of flags in docs/serving.md are those of the parser."""

from pathlib import Path

import pytest

from longreach.cli.flag_table import BEGIN, END, flag_tables, rewrite
from longreach.cli.serve_flags import SERVE_FLAGS

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_tables_are_up_to_date():
    """Else: python -m longreach.cli.flag_table docs/serving.md."""
    text = PAGE.read_text(encoding="utf-8")
    advice = "stale: run `python -m longreach.cli.flag_table docs/serving.md`"
    assert text == rewrite(text), advice


def test_every_spelling_is_in_them():
    """Aliases and flags that change nothing, too."""
    tables = flag_tables()
    for flag in SERVE_FLAGS:
        for name in flag.names:
            assert f"`{name}`" in tables


def test_the_rest_of_a_page_stays():
    """Only what is between the markers is rewritten, and nothing without them."""
    page = f"a\n{BEGIN}\nold\n{END}\nb\n"
    assert rewrite(page).startswith(f"a\n{BEGIN}\n\n### Model")
    assert rewrite(page).endswith(f"{END}\nb\n")
    assert rewrite(rewrite(page)) == rewrite(page)
    with pytest.raises(ValueError, match="flags: begin"):
        rewrite("no markers")
