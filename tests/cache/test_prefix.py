"""The forest of named pages."""

import pytest

from longreach.cache import DENSE, PrefixIndex, Provenance
from longreach.cache.prefix import ROOT

LOW = Provenance(mode="adaptive", target=0.9)
HIGH = Provenance(mode="adaptive", target=0.95)
FIXED = Provenance(mode="fixed", target=0.0)


def chain(*made):
    """An index with one chain a, b, c ... on pages 0, 1, 2 ..."""
    index = PrefixIndex()
    parent = ROOT
    for page, provenance in enumerate(made):
        digest = bytes([97 + page])
        assert index.insert(digest, parent, page, provenance) == []
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
    assert index.insert(b"a", ROOT, 7, new) == ([0] if replaces else [7])
    assert index.page_of(b"a") == (7 if replaces else 0)
    assert index.parent_page(1) == index.page_of(b"a")
    index.check()


def test_the_same_page_again_changes_nothing():
    """Naming a page twice is naming it once."""
    index = chain(DENSE)
    assert index.insert(b"a", ROOT, 0, DENSE) == []
    assert len(index) == 1


def test_orphans_are_not_named():
    """A page whose parent is unknown could never be found, so it gets no entry."""
    index = chain(DENSE)
    assert index.insert(b"z", b"y", 5, DENSE) == [5]
    assert index.page_of(b"z") is None


def test_remove_takes_what_hangs_below():
    """Removing a page removes all that only it leads to, and nothing else."""
    index = chain(DENSE, DENSE, DENSE)
    index.insert(b"d", b"a", 8, DENSE)
    assert sorted(index.remove(1)) == [1, 2]
    index.check()
    assert sorted(index.pages()) == [0, 8]
    assert sorted(index.clear()) == [0, 8]
    assert len(index) == 0
