"""One request's pages."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from longreach.cache.hashing import HashChain
from longreach.cache.pages import KeyRuns, append_page_runs, key_runs, slots_of
from longreach.cache.provenance import DENSE, Provenance


class PageTable:
    """The pages that one request owns, in order, and the chain that names their content.

    The cache writes it; the engine reads `pages`, `runs`, `slots` and appends tokens to `chain`.
    num_computed: tokens whose keys are in the pages, as last told. num_found: of these, those that
    were in the cache, or on disk. num_named: tokens of the prompt that were computed for this
    request, since it was made, in pages that got their name from it. num_saved: its first pages
    that the disk tier, where there is one, knows of. tail: how the tokens after the last full page
    were made.
    """

    def __init__(self, chain: HashChain, cache_salt: str = "") -> None:
        self.chain = chain
        self.cache_salt = cache_salt
        self.num_named = 0
        self._num_prompt_tokens = chain.num_tokens
        self.clear()

    def clear(self) -> None:
        """Forgets the pages, keeps the chain: the tokens are still the same."""
        self.pages: list[int] = []
        self.num_committed = 0
        self.num_computed = 0
        self.num_found = 0
        self.num_saved = 0
        self.made = DENSE
        self.tail: Provenance | None = None
        self._runs: list[tuple[int, int]] = []

    @property
    def page_size(self) -> int:
        """Tokens of one page."""
        return self.chain.page_size

    @property
    def num_slots(self) -> int:
        """Tokens that fit in the pages."""
        return len(self.pages) * self.page_size

    def add_pages(self, pages: Iterable[int]) -> None:
        """Appends pages that the caller has made this request an owner of."""
        added = list(pages)
        self.pages.extend(added)
        append_page_runs(self._runs, added)

    def count_named(self, at: int) -> None:
        """Page `at` got its name, as far as it is computed."""
        start = max(at * self.page_size, self.num_found)
        end = min((at + 1) * self.page_size, self.num_computed, self._num_prompt_tokens)
        self.num_named += max(end - start, 0)

    def runs(self, num_tokens: int) -> KeyRuns:
        """The first `num_tokens` as contiguous runs, in O(runs)."""
        return key_runs(self._runs, self.page_size, num_tokens)

    def slots(self, start: int, end: int) -> torch.Tensor:
        """Physical slots of tokens [start, end), int64."""
        return slots_of(self.pages, self.page_size, start, end)
