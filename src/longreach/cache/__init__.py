"""KV memory: the page pool, who owns a page, and which prefix a page holds.

provenance.py   how a page was computed, and which requests it may serve
hashing.py      the chain of page digests, and the fingerprint that seeds it
pages.py        page numbers: free, owned, cached; runs and slots
prefix.py       digest -> page, with provenance
cached_prefix.py what of a prompt was found
pins.py         prefixes that stay until their time is over
pool.py         the tensors
disk/           pages that outlive the process, as files
page_bytes.py   pages of a pool as bytes
disk_tier.py    what of the pool goes to disk, and comes back
table.py        one request's pages
kv_cache.py     the facade that the engine uses

What needs torch is imported at its first use: `longreach cache` looks at files alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from longreach.cache.cached_prefix import CachedPrefix
from longreach.cache.disk import ExtentStore, Part
from longreach.cache.hashing import HashChain, fingerprint
from longreach.cache.pins import Pin, Pins, salt_tag
from longreach.cache.prefix import PrefixIndex
from longreach.cache.provenance import DENSE, Provenance

if TYPE_CHECKING:
    from longreach.cache.kv_cache import CacheStats, KVCache
    from longreach.cache.page_bytes import layout_of
    from longreach.cache.pages import KeyRuns, PageAllocator, slots_of
    from longreach.cache.pool import KVPool
    from longreach.cache.table import PageTable

_HEAVY = {
    "kv_cache": ("CacheStats", "KVCache"),
    "page_bytes": ("layout_of",),
    "pages": ("KeyRuns", "PageAllocator", "slots_of"),
    "pool": ("KVPool",),
    "table": ("PageTable",),
}
_HOMES = {name: module for module, names in _HEAVY.items() for name in names}

__all__ = [
    "DENSE",
    "CacheStats",
    "CachedPrefix",
    "ExtentStore",
    "HashChain",
    "KVCache",
    "KVPool",
    "KeyRuns",
    "PageAllocator",
    "PageTable",
    "Part",
    "Pin",
    "Pins",
    "PrefixIndex",
    "Provenance",
    "fingerprint",
    "layout_of",
    "salt_tag",
    "slots_of",
]


def __getattr__(name: str) -> object:
    """Import a name that needs torch, once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
