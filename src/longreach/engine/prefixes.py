"""What is kept of a prefix, and keeping it, by its tokens alone: no request is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from longreach.engine.pinning import pin_chain
from longreach.engine.protocol import PrefixPin, PrefixState
from longreach.engine.sparse_choice import wanted_provenance

if TYPE_CHECKING:
    from longreach.cache import PageTable
    from longreach.engine.engine import Engine


class Prefixes:
    """Prefixes of one engine, by their tokens. `open` in any thread, all else between steps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Of the prompts that begin like this, the long ones ask least.
        self._wanted = wanted_provenance(engine.config.sparse, engine.max_model_len)

    def open(self, token_ids: Sequence[int], cache_salt: str) -> PageTable:
        """The prefix with its name, which takes a while to make for a million tokens."""
        engine = self._engine
        positions = engine.admission.positions.of_request(len(token_ids), 1)
        return engine.cache.open_table(
            token_ids, cache_salt=cache_salt, request_seed=positions.seed
        )

    def state(self, prefix: PageTable) -> PrefixState:
        """What is kept of it now."""
        cache, digests = self._engine.cache, prefix.chain.digests
        cache.load_pins()
        cache.end_pins()
        pages, _ = cache.index.lookup(digests, self._wanted)
        num_disk = 0
        if cache.disk is not None:
            num_disk = sum(part.count for part in cache.disk.find(digests, 0, self._wanted))
        pins = cache.pins.covering(digests[-1]) if digests else []
        ends = [pin.expires_s for pin in pins]
        return PrefixState(
            num_tokens=prefix.chain.num_tokens,
            num_memory_tokens=len(pages) * cache.page_size,
            num_disk_tokens=num_disk * cache.page_size,
            num_bytes=max(len(pages), num_disk) * cache.bytes_per_page,
            pinned=bool(pins),
            pinned_until=max((end for end in ends if end is not None), default=None)
            if None not in ends
            else None,
        )

    def pin(self, prefix: PageTable, ttl_s: float | None, label: str) -> PrefixState:
        """Keep all of it."""
        wanted = PrefixPin(num_tokens=prefix.chain.num_tokens, ttl_s=ttl_s, label=label)
        pin_chain(self._engine.cache, prefix.chain, wanted, prefix.cache_salt)
        return self.state(prefix)

    def unpin(self, prefix: PageTable) -> PrefixState:
        """End the pin of exactly this prefix."""
        digests = prefix.chain.digests
        if digests:
            self._engine.cache.unpin(digests[-1])
        return self.state(prefix)
