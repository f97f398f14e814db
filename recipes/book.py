"""Writes a PDF of real prose with hidden facts, and says which fact stands on which page.

    python recipes/book.py book.pdf --pages 300 --seed 0

Ask for them with `longreach ask book.pdf "What is the pass key?"`. The same pages, facts and seed
make the same file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from longreach.evals.needle.book import make_book  # noqa: E402


def main() -> None:
    """Command line."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("path", type=Path, help="the PDF to write")
    parser.add_argument("--pages", type=int, default=300, help="how many (%(default)s)")
    parser.add_argument("--facts", type=int, default=8, help="hidden facts (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws the book anew (%(default)s)")
    options = parser.parse_args()
    try:
        book = make_book(options.pages, seed=options.seed, num_facts=options.facts)
        options.path.write_bytes(book.pdf)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{options.path}: {book.num_pages} pages, {len(book.pdf):,} bytes")
    for fact in book.facts:
        print(f"page {fact.page:5}  {fact.question.text}  {fact.needle.value}")


if __name__ == "__main__":
    main()
