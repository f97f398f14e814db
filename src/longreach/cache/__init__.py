"""KV memory: the page pool, who owns a page, and which prefix a page holds.

provenance.py   how a page was computed, and which requests it may serve
hashing.py      the chain of page digests, and the fingerprint that seeds it
pages.py        page numbers: free, owned, cached; runs and slots
prefix.py       digest -> page, with provenance
pins.py         prefixes that stay until their time is over
pool.py         the tensors
kv_cache.py     the facade that the engine uses; one PageTable per request
"""

from longreach.cache.hashing import HashChain, fingerprint
from longreach.cache.kv_cache import CachedPrefix, CacheStats, KVCache
from longreach.cache.pages import KeyRuns, PageAllocator, runs_of, slots_of
from longreach.cache.pins import Pin, Pins
from longreach.cache.pool import KVPool
from longreach.cache.prefix import PrefixIndex
from longreach.cache.provenance import DENSE, Provenance
from longreach.cache.table import PageTable

__all__ = [
    "DENSE",
    "CacheStats",
    "CachedPrefix",
    "HashChain",
    "KVCache",
    "KVPool",
    "KeyRuns",
    "PageAllocator",
    "PageTable",
    "Pin",
    "Pins",
    "PrefixIndex",
    "Provenance",
    "fingerprint",
    "runs_of",
    "slots_of",
]
