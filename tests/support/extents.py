"""Stores of extents over plain bytes: chains, pages whose content follows from their name."""

import hashlib
import time

from longreach.cache.disk import ExtentStore, Header, Layout
from longreach.cache.disk.extent import file_size
from longreach.cache.hashing import HashChain
from longreach.cache.pages import pages_for
from longreach.cache.provenance import DENSE
from longreach.config import DiskCacheConfig

LAYOUT = Layout(dtype="BF16", num_layers=2, num_kv_heads=1, head_dim=4, page_size=8)
MODEL = b"m" * 32


def open_store(directory, *, model=MODEL, layout=LAYOUT, **limits):
    return ExtentStore(DiskCacheConfig(directory=directory, **limits), model, layout, name="tiny")


def chain(name, num_pages):
    """Digests of a prefix of so many pages; longer ones begin with the same."""
    return [hashlib.sha256(f"{name} {at}".encode()).digest() for at in range(num_pages)]


def data_of(digests, layout=LAYOUT):
    """The bytes of an extent: pages one after the other, each made of its name."""
    size = layout.bytes_per_page
    return b"".join((digest * (size // len(digest) + 1))[:size] for digest in digests)


def tokens_of(digest, layout=LAYOUT):
    """A full page's ids: they follow from its name."""
    return (digest * layout.page_size)[: 4 * layout.page_size]


def header_of(digests, first, last, *, made=DENSE, tag="", layout=LAYOUT):
    return Header(
        layout=layout,
        first_page=first,
        parent=digests[first - 1] if first else b"seed",
        digests=tuple(digests[first:last]),
        tokens=tuple(tokens_of(digest, layout) for digest in digests[first:last]),
        made=(made,) * (last - first),
        salt_tag=tag,
        created_s=time.time(),
    )


TWO_PAGES = file_size(header_of(chain("any", 2), 0, 2)) + 64
"""Of an extent, however many digits its time has."""


def name_of(token_ids, page, *, seed=b"seed", layout=LAYOUT):
    """The name of a page of a text, unfinished where the text ends in it."""
    named = HashChain(seed, layout.page_size)
    named.append(token_ids)
    return named.name_of(page, named.num_tokens)


def text_header(token_ids, first=0, *, made=DENSE, layout=LAYOUT):
    """Of all pages of a text from page `first` on, the last one unfinished or not."""
    pages = range(first, pages_for(len(token_ids), layout.page_size))
    names = [name_of(token_ids, page, layout=layout) for page in pages]
    return Header(
        layout=layout,
        first_page=first,
        parent=names[0].parent,
        digests=tuple(name.digest for name in names),
        tokens=tuple(name.tokens for name in names),
        made=(made,) * len(names),
        salt_tag="",
        created_s=time.time(),
    )


def write_text(store, token_ids, first=0, **how):
    """Have the pages of a text written, and wait for it."""
    header = text_header(token_ids, first, **how)
    store.write(header, [memoryview(data_of(header.digests, header.layout))])
    assert store.flush(10)


def write(store, digests, first=0, last=None, **how):
    """Hand pages to the store's writer."""
    header = header_of(digests, first, len(digests) if last is None else last, **how)
    store.write(header, [memoryview(data_of(header.digests, header.layout))])


def read(store, digests, wanted=DENSE):
    """How many pages of a chain the store gives back; every byte of them is right."""
    count = 0
    for part in store.find(digests, 0, wanted):
        header = part.extent.header
        buffer = bytearray(header.num_bytes)
        if not store.read(part.extent, [memoryview(buffer)]):
            break
        assert buffer == data_of(header.digests, header.layout), "another page's bytes"
        count += part.count
    return count
