"""Requests over a pool that is too small and a directory that is too: whatever is read was right.

The model's key at a slot is a digest of every token up to it, written into a real pool; so pages
that come back from disk in the wrong place, from another prompt or half written are found at once.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from longreach.cache import DENSE, KVCache, Pin, Provenance, layout_of, salt_tag
from longreach.cache.disk import ExtentStore
from longreach.cache.disk import extent as extent_module
from longreach.config import DiskCacheConfig
from support.fake_runner import keys_of
from support.pools import small_pool

PAGE, NUM_PAGES, PAGES_PER_EXTENT = 2, 9, 2
SPARSE = Provenance(mode="adaptive", target=0.9)
TEXT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
tokens = st.tuples(st.integers(1, 10), st.lists(st.integers(0, 1), max_size=3)).map(
    lambda drawn: TEXT[: drawn[0]] + drawn[1]
)
salts = st.sampled_from(["", "b"])


class Restoring(RuleBasedStateMachine):
    """A process that reads, forgets, is killed and started again over one directory."""

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.per_extent = extent_module.EXTENT_TOKENS
        extent_module.EXTENT_TOKENS = PAGE * PAGES_PER_EXTENT
        self.open()

    def teardown(self):
        self.cache.disk.close()
        extent_module.EXTENT_TOKENS = self.per_extent
        shutil.rmtree(self.directory)

    def open(self):
        self.pool = small_pool(NUM_PAGES, PAGE, num_layers=2, num_kv_heads=2, head_dim=8)
        config = DiskCacheConfig(directory=self.directory, max_bytes=9000)
        store = ExtentStore(config, b"model", layout_of(self.pool))
        self.cache = KVCache(NUM_PAGES, PAGE, fingerprint=b"model", pool=self.pool, store=store)

    @rule(tokens=tokens, salt=salts, wanted=st.sampled_from([DENSE, SPARSE]), whole=st.booleans())
    def read(self, tokens, salt, wanted, whole):
        """A request takes what is in memory, then what is on disk, and computes the rest."""
        table = self.cache.open_table(tokens, cache_salt=salt)
        prefix = self.cache.match_table(table, wanted)
        parts = self.cache.find_on_disk(table, wanted, prefix)
        if parts or not self.cache.fits(prefix, len(tokens)):
            prefix = prefix.in_full_pages()
        if not self.cache.fits(prefix, len(tokens)):
            return
        self.cache.start(table, prefix, len(tokens))
        done = prefix.num_tokens
        for part in parts:
            if not self.cache.read_part(table, part):  # the writer made room meanwhile
                break
            self.cache.take_part(table, part)
            done += part.num_tokens
        keys = keys_of(tokens, salt)
        assert done < len(tokens)
        assert self.cache.held_prefix(table).num_tokens == done
        for slot, key in zip(table.slots(0, done).tolist(), keys, strict=False):
            self.check_slot(slot, key)
        assert table.made.serves(wanted)
        end = len(tokens) if whole else max(done, len(tokens) // 2)
        for slot, key in zip(table.slots(done, end).tolist(), keys[done:end], strict=True):
            self.fill_slot(slot, key)
        self.cache.commit(table, end, wanted)
        self.cache.check([table])
        self.cache.release(table)

    def fill_slot(self, slot, key):
        for at, tensor in enumerate((*self.pool.k, *self.pool.v)):
            tensor[:, slot] = torch.from_numpy(_row(key, at))

    def check_slot(self, slot, key):
        for at, tensor in enumerate((*self.pool.k, *self.pool.v)):
            assert tensor[:, slot].numpy().tobytes() == _row(key, at).tobytes()

    @rule(tokens=tokens, salt=salts, stays=st.booleans())
    def pin(self, tokens, salt, stays):
        """A prefix is pinned, or its pin ends."""
        digests = tuple(self.cache.open_table(tokens, cache_salt=salt).chain.digests)
        if digests and stays:
            self.cache.pin(Pin(digests=digests, salt_tag=salt_tag(salt)))
        elif digests:
            self.cache.unpin(digests[-1])

    @rule()
    def forget_memory(self):
        """Another process's life: nothing is in memory, what was written is on disk."""
        self.cache.disk.close()
        pins = {pin.name for pin in self.cache.pins}
        self.open()
        assert {pin.name for pin in self.cache.pins} == pins

    # What is drawn must not depend on what the writer's thread has come to: a number, not a file.
    @rule(which=st.integers(0, 9), damage=st.booleans())
    def lose_a_file(self, which, damage):
        """Somebody removes or cuts a file between two processes."""
        self.cache.disk.close()
        extents = sorted(
            self.cache.disk.store.catalog.extents,
            key=lambda extent: (extent.header.first_page, extent.header.digests),
        )
        if which < len(extents):
            path = extents[which].path
            if damage:
                path.write_bytes(path.read_bytes()[:-9])
            else:
                path.unlink()
        self.open()

    @rule(salt=st.sampled_from(["", "b", None]), sure=st.sampled_from([False] * 9 + [True]))
    def forget(self, salt, sure):
        """One salt's pages are forgotten everywhere, or all. Rarely, or little is ever kept."""
        if not sure:
            return
        self.cache.forget_unused(salt)
        self.cache.disk.store.flush()
        left = {e.header.salt_tag for e in self.cache.disk.store.catalog.extents}
        assert left == set() if salt is None else salt_tag(salt) not in left

    @invariant()
    def laws(self):
        """Pages are in one state each, and the directory keeps its bound but for pins."""
        self.cache.check()
        stats = self.cache.stats()
        assert stats.num_owned == 0
        assert self.cache.disk.store.writer.is_on
        assert self.cache.disk.store.catalog.num_bytes <= 9000


def _row(key, at):
    """[heads, head dim] of a key, other in each layer."""
    numbers = np.frombuffer(key[:32], np.uint16).astype(np.float32)
    return (numbers + at).reshape(2, 8)


TestRestoring = Restoring.TestCase
TestRestoring.settings = settings(max_examples=30, stateful_step_count=25)
