"""From the pins of a request to those of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longreach.cache import HashChain, KVCache, Pin, salt_tag

if TYPE_CHECKING:
    from longreach.engine.protocol import PrefixPin
    from longreach.engine.request import Request


def pin_prefixes(cache: KVCache, request: Request) -> None:
    """Pin what a request whose prompt was just read asks for."""
    for wanted in request.pins:
        pin_chain(cache, request.table.chain, wanted, request.cache_salt)


def pin_chain(cache: KVCache, chain: HashChain, wanted: PrefixPin, cache_salt: str) -> None:
    """Pin the full pages of a chain's first tokens; nothing where they fill no page."""
    digests = tuple(chain.digests[: wanted.num_tokens // chain.page_size])
    if digests:
        now_s = cache.pins.now()
        expires_s = None if wanted.ttl_s is None else now_s + wanted.ttl_s
        cache.pin(
            Pin(
                digests=digests,
                salt_tag=salt_tag(cache_salt),
                label=wanted.label,
                created_s=now_s,
                expires_s=expires_s,
            )
        )
