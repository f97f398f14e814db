"""What of a prompt was found in the cache: full pages, then tokens to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longreach.cache.prefix import SharedTokens
from longreach.cache.provenance import DENSE, Provenance


@dataclass(frozen=True, slots=True)
class CachedPrefix:
    """What was found for a prompt: full pages, then tokens that the next page shares with another.

    num_tokens: of both. made: the weakest provenance among them. whole: the full pages alone, where
    there is more.
    """

    pages: tuple[int, ...] = ()
    num_tokens: int = 0
    recall_min: float = 1.0
    recall_mean: float = 1.0
    made: Provenance = DENSE
    shared: SharedTokens | None = None
    whole: CachedPrefix | None = None

    def in_full_pages(self) -> CachedPrefix:
        """Without the tokens that would be copied."""
        return self if self.whole is None else self.whole

    @property
    def pages_read(self) -> tuple[int, ...]:
        """All pages that must stay until a request has started with it."""
        return self.pages if self.shared is None else (*self.pages, self.shared.page)


def describe(
    pages: Sequence[int],
    made: Sequence[Provenance | None],
    page_size: int,
    shared: SharedTokens | None = None,
) -> CachedPrefix:
    """A prefix of these pages; a page without provenance says nothing of recall."""
    known = [provenance for provenance in made if provenance is not None]
    if shared is not None:
        known.append(shared.made)
    weakest = known[0] if known else DENSE
    for provenance in known:
        weakest = provenance.after(weakest)
    return CachedPrefix(
        pages=tuple(pages),
        num_tokens=len(pages) * page_size + (shared.num_tokens if shared else 0),
        recall_min=min((p.recall_min for p in known), default=1.0),
        recall_mean=sum(p.recall_mean for p in known) / max(len(known), 1),
        made=weakest,
        shared=shared,
        whole=None if shared is None else describe(pages, made, page_size),
    )
