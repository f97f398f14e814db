"""Engines that share a directory of extents, one after the other."""

import contextlib

from longreach.config import DiskCacheConfig
from support.async_engine import build


@contextlib.contextmanager
def started(folder, directory, **settings):
    """An engine with a disk tier of small extents; when it ends, all is written."""
    limits = {key: settings.pop(key) for key in ("max_bytes", "ttl_s") if key in settings}
    disk = DiskCacheConfig(directory=directory, **limits)
    engine = build(folder, disk_cache=disk, **{"max_num_batched_tokens": 64} | settings)
    try:
        yield engine
    finally:
        engine.close()
        engine.check()


def answer(engine, request):
    """The finished output of one request, with nothing else running."""
    engine.add_request(request, stream=False)
    while True:
        for output in engine.step():
            assert output.error is None, output.error
            return output


def pages_of(engine, token_ids):
    """The bytes of the cached pages of a prompt, and how each was made."""
    table = engine.cache.open_table(token_ids)
    digests = table.chain.digests
    pages = [engine.cache.index.page_of(digest) for digest in digests]
    size, pool = engine.cache.page_size, engine.cache.pool
    return [
        (
            [tensor[:, page * size : (page + 1) * size].clone() for tensor in (*pool.k, *pool.v)],
            engine.cache.index.made_of(digest),
        )
        for digest, page in zip(digests, pages, strict=True)
        if page is not None
    ]
