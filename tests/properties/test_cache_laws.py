"""Laws of the cache: any requests, in any order, in a pool that is too small."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longreach.cache import DENSE, KVCache, Pin, Provenance, salt_tag
from support.fake_runner import keys_of

PAGE, NUM_PAGES = 3, 8
MADE = [DENSE] + [
    Provenance(mode=mode, target=target)
    for mode, target in (("adaptive", 0.9), ("adaptive", 0.95), ("fixed", 0.0))
]
TEXT = [3, 1, 4, 1, 5, 9, 2, 6]
tokens = st.tuples(st.integers(1, 8), st.lists(st.integers(0, 1), max_size=2)).map(
    lambda drawn: TEXT[: drawn[0]] + drawn[1]
)


class Cache(RuleBasedStateMachine):
    """Requests that start, compute, grow and end; every slot's content is known."""

    def __init__(self):
        super().__init__()
        self.cache = KVCache(NUM_PAGES, PAGE, fingerprint=b"model")
        self.live = []
        self.slots = {}

    @rule(tokens=tokens, salt=st.sampled_from(["", "b"]), wanted=st.sampled_from(MADE))
    def start(self, tokens, salt, wanted):
        """A request reuses what serves it: exactly its own tokens, made well enough."""
        table = self.cache.open_table(tokens, cache_salt=salt)
        prefix = self.cache.match_table(table, wanted)
        assert prefix == self.cache.match_prefix(tokens, salt, wanted)
        shared = prefix.shared.num_tokens if prefix.shared else 0
        assert prefix.num_tokens == len(prefix.pages) * PAGE + shared < len(tokens)
        if not self.cache.fits(prefix, len(tokens)):
            prefix = prefix.in_full_pages()
            if not self.cache.fits(prefix, len(tokens)):
                return
        self.cache.start(table, prefix, len(tokens))
        self.copy(table, prefix)
        reused = table.slots(0, prefix.num_tokens).tolist()
        for key, slot in zip(keys_of(tokens, salt), reused, strict=False):
            written, made = self.slots[slot]
            assert written == key
            assert made.serves(wanted)
        self.live.append([table, list(tokens), salt, wanted, prefix.num_tokens])

    def copy(self, table, prefix):
        """What the pool, which is not there, does with shared tokens."""
        if prefix.shared is None:
            return
        source, target = prefix.shared.page, table.pages[len(prefix.pages)]
        assert source != target
        for at in range(prefix.shared.num_tokens):
            self.slots[target * PAGE + at] = self.slots[source * PAGE + at]

    @precondition(lambda self: self.live)
    @rule(data=st.data(), count=st.sampled_from([1, 3, 10, 10]))
    def compute(self, data, count):
        """Some more rows; dense ones count as what they read."""
        at = data.draw(st.integers(0, len(self.live) - 1))
        table, tokens, salt, wanted, done = self.live[at]
        own = data.draw(st.sampled_from([wanted, DENSE]))
        end = min(done + count, len(tokens))
        slots = table.slots(0, end).tolist()
        made = own.after(self.slots[slots[done - 1]][1]) if done else own
        for slot, key in zip(slots[done:], keys_of(tokens, salt)[done:end], strict=True):
            self.slots[slot] = (key, made)
        self.cache.commit(table, end, own)
        self.live[at][4] = end

    @precondition(lambda self: self.live)
    @rule(data=st.data(), token=st.integers(0, 1))
    def grow(self, data, token):
        """A sampled token joins a request, if there is a page for it."""
        at = data.draw(st.integers(0, len(self.live) - 1))
        table, tokens = self.live[at][:2]
        if self.cache.num_missing(table, len(tokens) + 1) <= self.cache.num_available:
            self.cache.extend(table, len(tokens) + 1)
            table.chain.append((token,))
            tokens.append(token)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def end(self, data):
        """A request ends, whatever it has computed."""
        self.cache.release(self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))[0])

    @rule(tokens=tokens, salt=st.sampled_from(["", "b"]), stays=st.booleans())
    def pin(self, tokens, salt, stays):
        """A prefix is pinned, or its pin ends, whether or not any of it is cached."""
        digests = self.cache.open_table(tokens, cache_salt=salt).chain.digests
        if digests and stays:
            self.cache.pin(Pin(digests=tuple(digests), salt_tag=salt_tag(salt)))
        elif digests:
            self.cache.unpin(digests[-1])

    @rule(sure=st.sampled_from([False] * 9 + [True]), salt=st.sampled_from(["", "b", None]))
    def forget(self, sure, salt):
        """What nobody uses is forgotten, of one salt or of all; every such page is counted.

        Rarely, or little is ever cached.
        """
        if not sure:
            return
        before = self.cache.stats()
        count = self.cache.forget_unused(salt)
        after = self.cache.stats()
        assert (after.num_owned, after.num_free) == (before.num_owned, before.num_free + count)
        left = [self.cache.index.salt_of(page) for page in self.cache.allocator.cached_pages()]
        assert left == [] if salt is None else salt not in left

    @invariant()
    def laws(self):
        """Free + cached + owned == all, none twice; heads outlive tails; owners are right."""
        self.cache.check([table for table, *_ in self.live])
        stats = self.cache.stats()
        assert stats.num_free + stats.num_cached + stats.num_owned == NUM_PAGES
        if not self.live:
            assert stats.num_owned == 0

    @invariant()
    def owners_read_what_they_wrote(self):
        """No page of a live request was given to anybody else."""
        for table, tokens, salt, _, done in self.live:
            keys = keys_of(tokens, salt)
            for slot, key in zip(table.slots(0, done).tolist(), keys, strict=False):
                assert self.slots[slot][0] == key


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=100, stateful_step_count=50)


@pytest.mark.parametrize("wanted", MADE)
def test_every_provenance_finds_its_own(wanted):
    """What a request computed always serves the same request again."""
    cache = KVCache(NUM_PAGES, PAGE)
    table = cache.open_table(range(9))
    cache.extend(table, 9)
    cache.commit(table, 9, wanted)
    cache.release(table)
    assert cache.match_prefix(range(9), wanted=wanted).num_tokens == 8
