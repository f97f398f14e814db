"""What is printed of documents and of an answer: citations, the heat strip, one line of figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from longreach.cli.ask.answers import Answer, page_of, top_looks
from longreach.cli.ask.heat import heat_levels, heat_strip, widen
from longreach.cli.terminal import show_rate, show_seconds
from longreach.documents.citations import Citation
from longreach.documents.collection import Skipped
from longreach.documents.types import Document, page_ranges

if TYPE_CHECKING:
    from longreach.cli.ask.asker import Forecast

QUOTE_CHARS = 200
MAX_STRIPS = 8
MAX_NAMED = 3
_HEAT = ("dim", *["blue"] * 2, *["yellow"] * 3, *["bold red"] * 3)
_MARKS = {
    "verified": ("✓ verified", "green"),
    "unverified": ("✗ unverified", "red"),
    "located": ("· found on", "cyan"),
}


def documents_line(documents: Sequence[Document], skipped: Sequence[Skipped] = ()) -> str:
    """What was read of the files: "book.pdf, 300 pages"; what was left out and why."""
    named = [f"{d.name}, {_pages(len(d.pages))}" for d in documents[:MAX_NAMED]]
    if len(documents) > MAX_NAMED:
        rest = documents[MAX_NAMED:]
        named.append(f"{len(rest):,} more, {_pages(sum(len(d.pages) for d in rest))}")
    lines = [" · ".join(named)]
    lines += [_no_text_line(d) for d in documents if d.kind == "pdf" and d.pages_without_text]
    lines += [f"not read: {item.name}: {item.reason}" for item in skipped[:MAX_NAMED]]
    if len(skipped) > MAX_NAMED:
        lines.append(f"not read: {len(skipped) - MAX_NAMED:,} more")
    return "\n".join(lines)


def _no_text_line(document: Document) -> str:
    """Blank pages, or pictures of text: nobody should take them for read."""
    missing = document.pages_without_text
    which = textwrap.shorten(page_ranges(missing), 60, placeholder=" …")
    return f"{document.name}: no text on {len(missing):,} of its pages ({which})"


def forecast_line(model: str, num_tokens: int, limit: int, forecast: Forecast) -> str:
    """What a prompt will take: its share of the context, what is cached, how long it will read."""
    parts = [f"{model}: {num_tokens:,} of {limit:,} tokens"]
    cached = forecast.in_memory + forecast.on_disk
    if cached:
        where = f" ({forecast.on_disk:,} on disk)" if forecast.on_disk else ""
        parts.append(f"{cached:,} cached{where}")
    if forecast.seconds is not None:
        parts.append(f"about {show_seconds(forecast.seconds)} to read")
    return " · ".join(parts)


def show_answer(out: Console, err: Console, answer: Answer) -> None:
    """Everything that belongs below an answer's text."""
    if answer.citations:
        out.print()
        show_citations(out, answer)
    if out.is_terminal and answer.looks:
        out.print()
        out.print(heat_table(answer, out.width))
    if err.is_terminal:
        err.print()
    err.print(figures(answer), style="dim", soft_wrap=not err.is_terminal)


def show_citations(out: Console, answer: Answer) -> None:
    """A line for each citation; on a terminal quotes are wrapped below themselves."""
    rows = [(*_mark(c), _place(answer, c), _quote(c), _remark(answer, c)) for c in answer.citations]
    if not out.is_terminal:
        for mark, _, place, quote, remark in rows:
            line = "  ".join(filter(None, [mark, place, quote, remark]))
            out.print(line, markup=False, soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=len(answer.documents) == 1, max_width=max(out.width // 3, 12))
    table.add_column(ratio=1)
    for mark, style, place, quote, remark in rows:
        text = Text.assemble(quote, "  " if quote and remark else "", (remark, "dim"))
        table.add_row(Text(mark, style), place, text)
    out.print(table)


def heat_table(answer: Answer, width: int) -> Table:
    """A strip for each document, and the pages looked at most."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", overflow="ellipsis", no_wrap=True, max_width=max(width // 4, 8))
    table.add_column()
    shares = [_shares(answer, index) for index in range(len(answer.documents))]
    order = sorted(range(len(shares)), key=lambda index: -sum(shares[index]))[:MAX_STRIPS]
    room = max(width - width // 4 - 4, 10)
    for index in sorted(order):
        strip = _coloured(widen(heat_levels(shares[index], room), room))
        table.add_row("looked at" if len(shares) == 1 else answer.documents[index].name, strip)
    table.add_row("", Text(_top_pages(answer), "dim"))
    return table


def figures(answer: Answer) -> str:
    """One line: what was read, how much of it was cached, how fast it went, what was kept."""
    metrics = [reading.last.metrics for reading in answer.readings]
    cached, final = answer.num_cached_tokens, metrics[-1]
    parts = [f"{answer.num_prompt_tokens:,} tokens"]
    if cached:
        parts.append(f"{cached:,} from the cache")
    parts.append(f"first token after {show_seconds(answer.ttft_s)}")
    if final.decode_tokens_per_s is not None:
        parts.append(show_rate(final.decode_tokens_per_s))
    if any(m.recall_mean < 1.0 for m in metrics):
        parts.append(f"attention recall {min(m.recall_mean for m in metrics):.3f}")
    return " · ".join(parts)


def _pages(count: int) -> str:
    return f"{count:,} page{'' if count == 1 else 's'}"


def _mark(citation: Citation) -> tuple[str, str]:
    if citation.kind == "located":
        return _MARKS["located"]
    return _MARKS["verified" if citation.verified else "unverified"]


def _place(answer: Answer, citation: Citation) -> str:
    """The page that the answer names, else the one found."""
    if citation.named_page is not None and not citation.verified:
        return f"page {citation.named_page}"
    if citation.document is None or citation.page is None:
        return ""
    label = page_of(answer.documents, citation.document, citation.page).label
    name = answer.documents[citation.document].name
    return label if len(answer.documents) == 1 else f"{name}, {label}"


def _quote(citation: Citation) -> str:
    short = textwrap.shorten(citation.quote, QUOTE_CHARS, placeholder=" …")
    return f"“{short}”"


def _remark(answer: Answer, citation: Citation) -> str:
    """Why a quote is not verified, and on how many pages a place stands."""
    if citation.kind == "located" or citation.verified:
        count = citation.num_pages - 1
        return f"and on {_pages(count)} more" if count > 0 else ""
    if citation.document is None or citation.page is None or citation.end == citation.start:
        return "stands nowhere in the documents"
    if citation.named_page is None:
        return f"on {_pages(citation.num_pages)}, none is named"
    label = page_of(answer.documents, citation.document, citation.page).label
    return f"stands on {label}"


def _shares(answer: Answer, document: int) -> list[float]:
    """Of every page of a document, those without text too."""
    of_page = {look.page: look.share for look in answer.looks if look.document == document}
    return [of_page.get(page.number, 0.0) for page in answer.documents[document].pages]


def _coloured(levels: Sequence[int]) -> Text:
    strip = Text()
    for level, block in zip(levels, heat_strip(levels), strict=True):
        strip.append(block, _HEAT[level])
    return strip


def _top_pages(answer: Answer) -> str:
    return " · ".join(_named_looks(answer))


def _named_looks(answer: Answer) -> Iterator[str]:
    for look in top_looks(answer.looks)[:MAX_NAMED]:
        if look.share >= 0.01:
            label = page_of(answer.documents, look.document, look.page).label
            name = "" if len(answer.documents) == 1 else f"{answer.documents[look.document].name}, "
            yield f"{name}{label} {look.share:.0%}"
