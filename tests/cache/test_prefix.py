"""The forest of named pages."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longreach.cache import DENSE, HashChain, PrefixIndex, Provenance
from longreach.cache.hashing import PageName
from longreach.cache.prefix import MAX_SIBLINGS, SharedTokens

LOW = Provenance(mode="adaptive", target=0.9)
HIGH = Provenance(mode="adaptive", target=0.95)
FIXED = Provenance(mode="fixed", target=0.0)


SEED = b"seed"


def name(digest, parent=SEED, *, tokens=None):
    """A page's name; of its digest as its only token, where nothing else is said."""
    held = array("i", [*digest] if tokens is None else tokens).tobytes()
    return PageName(digest, parent, held, is_first=parent == SEED)


def chain(*made):
    """An index with one chain a, b, c ... on pages 0, 1, 2 ..."""
    index = PrefixIndex()
    parent = SEED
    for page, provenance in enumerate(made):
        digest = bytes([97 + page])
        assert index.insert(name(digest, parent), page, provenance) == []
        parent = digest
    index.check()
    return index


def test_lookup_ends_at_the_first_miss():
    """Pages after a missing digest are not found, even where a later one is known."""
    index = chain(DENSE, DENSE, DENSE)
    assert index.lookup([b"a", b"x", b"c"], DENSE)[0] == [0]
    assert index.lookup([b"x", b"b"], DENSE)[0] == []
    assert index.lookup([b"a", b"b"], DENSE)[0] == [0, 1]


def test_lookup_ends_at_the_first_page_that_does_not_serve():
    """A worse page in the middle ends the prefix."""
    index = chain(DENSE, LOW, HIGH)
    assert index.lookup([b"a", b"b", b"c"], DENSE)[0] == [0]
    assert index.lookup([b"a", b"b", b"c"], HIGH)[0] == [0]
    assert index.lookup([b"a", b"b", b"c"], LOW)[0] == [0, 1, 2]


@pytest.mark.parametrize(
    ("old", "new", "replaces"),
    [
        (LOW, HIGH, True),
        (LOW, DENSE, True),
        (HIGH, LOW, False),
        (DENSE, HIGH, False),
        (DENSE, DENSE, False),
        (LOW, LOW, False),
        (FIXED, LOW, True),  # neither serves the other's requests: the newer is wanted now
    ],
)
def test_better_replaces_worse(old, new, replaces):
    """A page takes the entry unless the old one serves all that it would."""
    index = chain(old, old)
    assert index.insert(name(b"a"), 7, new) == ([0] if replaces else [7])
    assert index.page_of(b"a") == (7 if replaces else 0)
    assert index.parent_page(1) == index.page_of(b"a")
    index.check()


def test_the_same_page_again_changes_nothing():
    """Naming a page twice is naming it once."""
    index = chain(DENSE)
    assert index.insert(name(b"a"), 0, DENSE) == []
    assert len(index) == 1


def test_orphans_are_not_named():
    """A page whose parent is unknown could never be found, so it gets no entry."""
    index = chain(DENSE)
    assert index.insert(name(b"z", b"y"), 5, DENSE) == [5]
    assert index.page_of(b"z") is None


def test_remove_takes_what_hangs_below():
    """Removing a page removes all that only it leads to, and nothing else."""
    index = chain(DENSE, DENSE, DENSE)
    index.insert(name(b"d", b"a"), 8, DENSE)
    assert sorted(index.remove(1)) == [1, 2]
    index.check()
    assert sorted(index.pages()) == [0, 8]


def shared(index, tokens, wanted=DENSE, parent=SEED):
    """(page, number) of the leading tokens that an entry after `parent` has."""
    found = index.lookup_shared(parent, array("i", tokens).tobytes(), wanted)
    return None if found is None else (found.page, found.num_tokens)


def test_the_longest_beginning_is_found():
    """Of the pages that follow a prefix, the one that shares most leading tokens."""
    index = PrefixIndex()
    index.insert(name(b"a", tokens=[1, 2, 3, 4]), 0, DENSE)
    index.insert(name(b"b", tokens=[1, 2, 9, 4]), 1, DENSE)
    index.insert(name(b"c", tokens=[7]), 2, DENSE)
    assert shared(index, [1, 2, 3]) == (0, 3)
    assert shared(index, [1, 2, 9, 9]) == (1, 3)
    assert shared(index, [7, 7]) == (2, 1)
    assert shared(index, [3, 2, 1]) is None
    assert shared(index, []) is None
    assert shared(index, [1, 2, 3], parent=b"other seed") is None


def test_a_beginning_must_serve():
    """A sparser page is passed over for one that shares less."""
    index = PrefixIndex()
    index.insert(name(b"a", tokens=[1, 2, 3, 4]), 0, LOW)
    index.insert(name(b"b", tokens=[1, 2, 9, 4]), 1, HIGH)
    assert shared(index, [1, 2, 3], LOW) == (0, 3)
    assert shared(index, [1, 2, 3], HIGH) == (1, 2)
    assert shared(index, [1, 2, 3], DENSE) is None
    found = index.lookup_shared(SEED, array("i", [1, 2, 3]).tobytes(), HIGH)
    assert found == SharedTokens(1, 2, HIGH)


def test_unfinished_pages_end_with_what_holds_them():
    """A page with the same tokens and more takes their place, unless it serves less."""
    index = PrefixIndex()
    assert index.insert(name(b"a", tokens=[1]), 0, DENSE) == []
    assert index.insert(name(b"b", tokens=[1, 2]), 1, LOW) == []
    assert index.insert(name(b"c", tokens=[1, 2, 3]), 2, HIGH) == [1]
    assert index.insert(name(b"d", tokens=[1, 2]), 3, HIGH) == [3]
    assert index.insert(name(b"e", tokens=[1, 2, 4]), 4, DENSE) == [0]
    assert sorted(index.pages()) == [2, 4]
    index.check()


def test_among_many_only_the_newest_are_compared():
    """However many prompts went on from a prefix, looking takes the same time."""
    index = PrefixIndex()
    for page in range(MAX_SIBLINGS + 1):
        index.insert(name(b"%d" % page, tokens=[page, 0]), page, DENSE)
    assert shared(index, [0, 0]) is None
    assert shared(index, [1, 0]) == (1, 2)


few = st.lists(st.integers(0, 2), min_size=1, max_size=9)


@given(texts=st.lists(few, min_size=1, max_size=6), asked=few)
def test_nothing_longer_is_overlooked(texts, asked):
    """Full pages and the beginning after them: as many tokens as any text seen has in common."""
    index = PrefixIndex()
    page = 0
    for text in texts:
        own = HashChain(SEED, 4)
        own.append(text)
        for at in range(-(-len(text) // 4)):
            index.insert(own.name_of(at, len(text)), page, DENSE)
            page += 1
    index.check()
    own = HashChain(SEED, 4)
    own.append(asked)
    pages, _ = index.lookup(own.digests, DENSE)
    rest = own.name_of(len(pages), len(asked))
    found = index.lookup_shared(rest.parent, rest.tokens, DENSE)
    most = max(_num_common(text, asked) for text in texts)
    assert len(pages) * 4 + (found.num_tokens if found else 0) == most


def _num_common(left, right):
    common = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        common += 1
    return common
